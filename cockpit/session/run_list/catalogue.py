"""The runs of a directory as a list shows them: found quickly, read one after the other, and read again if changed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from cockpit.session.run_list.facts_reader import read_facts
from cockpit.session.run_list.index_file import FactsIndex, Stamp
from cockpit.session.run_list.listed_run import NO_JOURNAL, UNREADABLE, ListedRun
from engine.errors import UserError
from engine.journal.disk.find_run import no_permission
from engine.journal.disk.labels import LABELS_FILE, read_labels
from engine.journal.disk.run_dir import CHECKPOINTS, DELETED, LOCK_FILE
from engine.journal.store import JOURNAL_FILE

_NOTHING: Stamp = (0, 0)


class RunCatalogue:
    """The runs in `runs_dir` by name. `index` is the file that keeps their facts, `None` for none.

    Not for several threads at a time.
    """

    def __init__(self, runs_dir: Path, index: Path | None = None) -> None:
        self.runs_dir = runs_dir
        self.rows: dict[str, ListedRun] = {}
        self._index = FactsIndex(index)
        self._stamps: dict[str, Stamp] = {}
        self._label_stamps: dict[str, Stamp] = {}
        self._unread: dict[str, None] = {}

    @property
    def unread(self) -> Mapping[str, None]:
        """Names of the runs to read, the last started first."""
        return self._unread

    def scan(self) -> bool:
        """Find new, changed and deleted runs; return whether there are any. Raises UserError for the directory."""
        names = self._names()
        is_changed = False
        for name in self.rows.keys() - names:
            self._forget(name)
            is_changed = True
        for name in names:
            is_changed = self._look_at(name) or is_changed
        if self._unread:
            self._unread = dict.fromkeys(sorted(self._unread, key=lambda name: -self.rows[name].started))
        return is_changed

    def read(self, names: Iterable[str]) -> None:
        """Read the facts of these runs; those that cannot be read have the reason instead."""
        for name in names:
            self._unread.pop(name, None)
            if (run := self.rows.get(name)) is None:
                continue
            try:
                facts = read_facts(run.path)
                self.rows[name] = run.with_facts(facts)
            except (UserError, ValueError) as error:
                is_private = not os.access(run.path / JOURNAL_FILE, os.R_OK)
                self.rows[name] = run.with_problem(UNREADABLE, no_permission(run.path) if is_private else str(error))
                self._index.drop(name)
            else:
                self._index.put(name, self._stamps[name], facts)

    def refresh(self) -> bool:
        """Read the live runs again; return whether there are any."""
        live = [name for name, run in self.rows.items() if run.is_live]
        self.read(live)
        return bool(live)

    def save(self) -> None:
        """Write the index if a run was read since the last time."""
        self._index.save(self.rows)

    def _names(self) -> set[str]:
        try:
            with os.scandir(self.runs_dir) as entries:
                return {entry.name for entry in entries if not entry.name.startswith(DELETED)}
        except FileNotFoundError:
            return set()
        except OSError as error:
            raise UserError(f"cannot list the runs in {self.runs_dir}: {error.strerror}") from error

    def _forget(self, name: str) -> None:
        for held in (self.rows, self._stamps, self._label_stamps, self._unread):
            held.pop(name, None)

    def _look_at(self, name: str) -> bool:
        """Take the directory `name` into the list if it is a run; return whether something changed."""
        place = f"{self.runs_dir}/{name}"
        try:
            journal = _journal(place)
        except PermissionError:
            return self._keep_out(name, UNREADABLE, no_permission(Path(place)))
        if journal is not None and journal.st_size:
            return self._take(name, place, journal)
        if journal is None and not _has_checkpoints(place):
            self._forget(name)
            return False
        said = f"the journal of {name} is gone: --resume {name} goes on from its checkpoints"
        return self._keep_out(name, NO_JOURNAL, said)

    def _take(self, name: str, place: str, journal: os.stat_result) -> bool:
        """Take a run with a journal; return whether its labels or its journal changed."""
        labels = _stamp(f"{place}/{LABELS_FILE}")
        log = _stamp(f"{place}/{JOURNAL_FILE}-wal")
        stamp = (journal.st_ino, journal.st_size, journal.st_mtime_ns, *log)
        is_relabelled = self._label_stamps.get(name, _NOTHING) != labels
        is_written = self._stamps.get(name) != stamp
        if not is_relabelled and not is_written:
            return False
        started = _started(place, journal.st_mtime)
        run = self.rows.get(name) or ListedRun(self.runs_dir / name, started)
        if is_relabelled or run.started != started:
            run = replace(run, started=started, labels=read_labels(run.path))
        if is_written:
            facts = self._index.facts(name, stamp)
            if facts is not None:
                run = run.with_facts(facts)
            else:
                self._unread[name] = None
        self.rows[name], self._stamps[name], self._label_stamps[name] = run, stamp, labels
        return True

    def _keep_out(self, name: str, state: str, reason: str) -> bool:
        """Put a run without facts into the list; return whether that is new."""
        known = self.rows.get(name)
        if known is not None and known.state == state:
            return False
        place = self.runs_dir / name
        self._forget(name)
        self.rows[name] = ListedRun(place, _started(str(place), 0.0), read_labels(place)).with_problem(state, reason)
        return True


def _journal(place: str) -> os.stat_result | None:
    """Return the status of the journal in the directory `place`; `None` if there is none. Raises PermissionError."""
    try:
        found = os.stat(f"{place}/{JOURNAL_FILE}")
    except PermissionError:
        raise
    except (OSError, ValueError):
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def _started(place: str, otherwise: float) -> float:
    """Return when a run was last started, like `started_at`, of which the time of the journal is known."""
    try:
        return os.lstat(f"{place}/{LOCK_FILE}").st_mtime
    except OSError:
        return otherwise


def _stamp(file: str) -> Stamp:
    """Return the size and the time of a file; zeros if there is none or it is empty."""
    try:
        found = os.stat(file)
    except OSError:
        return _NOTHING
    return (found.st_size, found.st_mtime_ns) if found.st_size else _NOTHING


def _has_checkpoints(place: str) -> bool:
    try:
        with os.scandir(f"{place}/{CHECKPOINTS}") as entries:
            return any(entry.name.startswith("step-") and entry.name.endswith(".pt") for entry in entries)
    except (OSError, ValueError):
        return False
