"""A file with the facts of runs that were read before, so that a list of thousands opens without reading journals.

Each entry is valid for one size and time of the journal's files. A file that cannot be read is written again, and one
that cannot be written is done without.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Container, Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

from cockpit.session.run_list.facts import RunFacts
from engine.protocol.events import Activity

Stamp: TypeAlias = tuple[int, ...]
"""Identity, size and time of a journal and of its log."""

_FIELDS: Final = tuple(field.name for field in fields(RunFacts))
_FORMAT: Final = [1, *_FIELDS]
"""Another list of fields makes another file: the entries are those of another version of the program."""


def index_file(folder: Path, runs_dir: Path) -> Path:
    """Return the path of the index of `runs_dir` in `folder`."""
    digest = hashlib.sha256(os.fsencode(runs_dir.absolute())).hexdigest()
    return folder / f"runs-{digest[:16]}.json"


class FactsIndex:
    """The facts of runs that were read before, kept in `file`; with `None`, only in memory."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._known = {} if file is None else load_index(file)
        self._is_saved = True

    def facts(self, name: str, stamp: Stamp) -> RunFacts | None:
        """Return the facts of a run whose files have this stamp; `None` if they are not known."""
        known_stamp, facts = self._known.get(name, ((), None))
        return facts if known_stamp == stamp else None

    def put(self, name: str, stamp: Stamp, facts: RunFacts) -> None:
        """Keep the facts of a run that was read."""
        self._known[name] = stamp, facts
        self._is_saved = False

    def drop(self, name: str) -> None:
        """Forget a run that could not be read."""
        self._known.pop(name, None)
        self._is_saved = False

    def save(self, names: Container[str]) -> None:
        """Write the facts of the runs in `names`, if one was read since the last time."""
        if self._file is not None and not self._is_saved:
            _save_index(self._file, {name: entry for name, entry in self._known.items() if name in names})
        self._is_saved = True


def load_index(file: Path) -> dict[str, tuple[Stamp, RunFacts]]:
    """Return the facts by name of run; none if the file is missing, damaged or of another version."""
    try:
        found: object = json.loads(file.read_bytes())
        held = cast(dict[str, Any], found) if isinstance(found, dict) else {}
        if held.get("format") != _FORMAT:
            return {}
        return {name: (tuple(stamp), _facts(values)) for name, (stamp, values) in held["runs"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _save_index(file: Path, runs: Mapping[str, tuple[Stamp, RunFacts]]) -> None:
    """Replace the index. A folder that cannot be written is ignored."""
    partial = file.with_name(f"{file.name}.{os.getpid()}")
    entries = {name: (stamp, [getattr(facts, field) for field in _FIELDS]) for name, (stamp, facts) in runs.items()}
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as written:
            json.dump({"format": _FORMAT, "runs": entries}, written, separators=(",", ":"))
        partial.replace(file)
    except OSError:
        with suppress(OSError):
            partial.unlink()


def _facts(values: list[Any]) -> RunFacts:
    """Return the facts of one entry. Raises TypeError or ValueError if they are none."""
    *plain, parent, began, session, curve = values
    Activity(plain[0])
    return RunFacts(
        *plain,
        parent=None if parent is None else (str(parent[0]), int(parent[1])),
        began=began,
        session=None if session is None else tuple(session),  # type: ignore[arg-type]
        curve=tuple(curve),
    )
