"""Print values: strict JSON for programs, escaped text for people."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.journal.reader import Entry
from engine.protocol.codec import Json, float_word
from engine.protocol.wire import event_to_json, kind_of


def print_json(value: Json) -> None:
    """Print strict JSON; `value` may not contain NaN or an infinity."""
    print(json.dumps(value, allow_nan=False))


def print_lines(lines: Iterable[str]) -> None:
    """Print text lines; a character that the terminal's encoding lacks is printed as an escape."""
    encoding = sys.stdout.encoding or "utf-8"
    for line in lines:
        print(line.encode(encoding, "backslashreplace").decode(encoding))


def float_texts(values: NDArray[np.float32]) -> list[str]:
    """Return each number in the fewest digits that give the same float32; NaN, Infinity, -Infinity by name."""
    texts: list[str] = values.astype("U32").tolist()
    for index in np.flatnonzero(~np.isfinite(values)):
        texts[index] = float_word(float(values[index]))
    return texts


def float_values(values: NDArray[np.float32], present: NDArray[np.bool_]) -> list[Json]:
    """Return each number as JSON: null if absent, 'NaN' or 'Infinity' if not finite."""
    return [
        None if not there else float(text) if math.isfinite(value) else text
        for text, value, there in zip(float_texts(values), values.tolist(), present.tolist(), strict=True)
    ]


def entry_to_json(entry: Entry) -> dict[str, Json]:
    """Return one entry of the journal as an object: its origin and status, then the event's own fields."""
    return {
        "id": entry.id,
        "time": entry.time,
        "branch": entry.branch,
        "step": entry.step,
        "actor": entry.actor,
        "command_id": entry.command_id,
        "status": entry.status.value,
        "reason": entry.reason,
        "kind": kind_of(entry.event),
        "event": event_to_json(entry.event),
    }


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of cells as aligned lines, the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def say_progress(text: str) -> None:
    """Show the progress on standard error in place of the previous text; do nothing unless it is a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        return
    encoding = sys.stderr.encoding or "utf-8"
    line = "".join(character for character in text if character.isprintable())[:78]
    sys.stderr.write(f"\r{line.encode(encoding, 'backslashreplace').decode(encoding):<79}\r")
    sys.stderr.flush()


def clear_progress() -> None:
    """Remove the progress from the terminal."""
    say_progress("")
