"""Tables of a comparison as text: configuration keys that differ, and interventions of the runs side by side."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Final

from rich.cells import cell_len, get_character_cell_size

from cockpit.text.event_text import sentence
from cockpit.text.format import escape_control
from cockpit.ui.panels.comparing.runs import ComparedRun
from engine.journal.reader import Entry
from engine.protocol.events import Status

ABSENT: Final = "-"
"""The cell of a run without a value."""
_GAP: Final = "  "
_LEAST: Final = 10
"""Least columns of a cell."""


def config_differences(runs: Sequence[ComparedRun]) -> dict[str, list[object]]:
    """Return each dotted key whose value is not the same in all runs, with the value of each; `None` for none."""
    configs = [run.records.config for run in runs]
    keys = dict.fromkeys(key for config in configs for key in config)
    found = {key: [config.get(key) for config in configs] for key in keys}
    return {key: values for key, values in found.items() if len({shown(value) for value in values}) > 1}


def config_rows(runs: Sequence[ComparedRun]) -> list[list[str]]:
    """Return the table of configuration differences: a head with the names of the runs, then one row per key."""
    rows = [[key, *map(shown, values)] for key, values in config_differences(runs).items()]
    return [["key", *(escape_control(run.name) for run in runs)], *rows] if rows else []


def intervention_rows(runs: Sequence[ComparedRun]) -> list[list[str]]:
    """Return the table of interventions: a head with the names of the runs, then one row per step and turn."""
    cells: dict[int, list[list[str]]] = {}
    made = ((number, run, entry) for number, run in enumerate(runs) for entry in run.records.interventions)
    for number, run, entry in made:
        at_step = cells.setdefault(entry.step, [[] for _ in runs])
        at_step[number].append(intervention_text(entry, run))
    rows = [
        [str(step) if turn == 0 else "", *(texts[turn] if turn < len(texts) else "" for texts in at_step)]
        for step, at_step in sorted(cells.items())
        for turn in range(max(map(len, at_step)))
    ]
    return [["step", *(escape_control(run.name) for run in runs)], *rows] if rows else []


def intervention_text(entry: Entry, run: ComparedRun) -> str:
    """Return an intervention with its outcome, unless it was applied as requested, and its actor."""
    outcome = "" if entry.status in (Status.APPLIED, Status.NOTED) else f"{entry.status.value}: "
    reason = f" ({escape_control(entry.reason)})" if entry.reason else ""
    return f"{outcome}{sentence(entry.event, run.records.spec)}{reason} [{escape_control(entry.actor)}]"


def shown(value: object) -> str:
    """Return a configuration value on one line; a dash for none."""
    if value is None:
        return ABSENT
    return escape_control(value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False))


def fitted(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return rows of cells as aligned lines of at most `width` columns; long cells go on below."""
    if not rows:
        return []
    widest = [max(cell_len(row[column]) for row in rows) for column in range(len(rows[0]))]
    widths = _shared(widest, width - len(_GAP) * (len(widest) - 1))
    lines: list[str] = []
    for row in rows:
        pieces = [_broken(cell, room) for cell, room in zip(row, widths, strict=True)]
        for at in range(max(map(len, pieces))):
            parts = (cell[at] if at < len(cell) else "" for cell in pieces)
            padded = (part + " " * (room - cell_len(part)) for part, room in zip(parts, widths, strict=True))
            lines.append(_GAP.join(padded).rstrip())
    return lines


def _shared(widest: Sequence[int], room: int) -> list[int]:
    """Return the widths of columns that fit into `room` together: the widest ones are cut first."""
    widths = list(widest)
    while sum(widths) > room and max(widths) > _LEAST:
        widths[widths.index(max(widths))] -= 1
    return widths


def _broken(text: str, width: int) -> list[str]:
    """Return `text` in pieces of at most `width` cells, broken at blanks if possible."""
    pieces: list[str] = []
    while cell_len(text) > width:
        room = bisect_right([*accumulate(map(get_character_cell_size, text))], width)
        at = text.rfind(" ", 1, room + 1)
        at = at if at > room // 3 else room
        pieces.append(text[:at])
        text = text[at:].lstrip()
    return [*pieces, text]


def as_columns(values: Sequence[object], runs: Sequence[ComparedRun]) -> Mapping[str, object]:
    """Return one value per run by the run's name."""
    return {run.name: value for run, value in zip(runs, values, strict=True)}
