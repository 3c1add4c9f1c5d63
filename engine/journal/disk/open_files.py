"""The files of an open journal: detect that they were deleted or replaced."""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final

Identity = tuple[int, int]
"""Device and inode, which differ for another file of the same name."""

_BESIDE: Final = ("", "-wal", "-shm")
"""Suffixes of SQLite's names for a database and its two companion files."""


def identity_of(path: Path | int) -> Identity | None:
    """Return the identity of the file at `path` or behind a descriptor; `None` if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class JournalFiles:
    """The files of the open journal at `file`: the database, its log and their directory."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: dict[Path, Identity] = {}
        self._size = 0

    def learn(self) -> None:
        """Record existing files that are not yet known, and the current size of the database."""
        for path in self._paths():
            found = identity_of(path)
            if found is not None:
                self._known.setdefault(path, found)
        with suppress(OSError):
            self._size = max(self._size, self._file.stat().st_size)

    def lost(self) -> tuple[Path, ...]:
        """Return the known paths that are now missing or lead to another file."""
        return tuple(path for path, known in self._known.items() if identity_of(path) != known)

    def is_cut(self) -> bool:
        """Return whether the database is shorter than before. It normally only grows."""
        try:
            return self._file.stat().st_size < self._size
        except OSError:
            return False

    def make_room(self, *, is_broken: bool) -> Path | None:
        """Remove the journal's files for a new journal. Raises OSError.

        A file of another program, or one that `is_broken`, is renamed, and its new path is returned; otherwise `None`.
        """
        found, known = identity_of(self._file), self._known.get(self._file)
        is_kept = found is not None and (found != known or is_broken)
        kept = _free_name(self._file) if is_kept else None
        for end in _BESIDE:
            path = self._file.with_name(self._file.name + end)
            is_ours = identity_of(path) == self._known.get(path)
            if kept is None or (is_ours and not is_broken):  # SQLite would replay our log into a foreign database
                path.unlink(missing_ok=True)
            elif path.exists():
                path.replace(kept.with_name(kept.name + end))
        return kept

    def forget(self) -> None:
        """Forget all files; the journal is opened again."""
        self._known.clear()
        self._size = 0

    def _paths(self) -> tuple[Path, ...]:
        return (self._file.parent, *(self._file.with_name(self._file.name + end) for end in _BESIDE))


def _free_name(file: Path) -> Path:
    """Return an unused name for a file that is moved away."""
    names = (file.with_name(f"{file.name}.found-{number}") for number in count(1))
    return next(name for name in names if not name.exists())
