"""The files of an open journal: whether they are still the ones that were opened, and what is in their place if not."""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final

Identity = tuple[int, int]
"""Device and inode: another file under the same name has another one."""

_BESIDE: Final = ("", "-wal", "-shm")
"""What SQLite's names for a database and its two companions end in."""


def identity_of(path: Path | int) -> Identity | None:
    """Return what tells the file at `path`, or behind a descriptor, apart from any other; None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class JournalFiles:
    """Remembers which files belong to the open journal at `file`: the database, its log, their directory."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: dict[Path, Identity] = {}
        self._size = 0

    def learn(self) -> None:
        """Remember the files that are there and were not known yet, and how far the database has grown."""
        for path in self._paths():
            found = identity_of(path)
            if found is not None:
                self._known.setdefault(path, found)
        with suppress(OSError):
            self._size = max(self._size, self._file.stat().st_size)

    def lost(self) -> tuple[Path, ...]:
        """Return the known paths that lead to nothing, or to another file, now."""
        return tuple(path for path, known in self._known.items() if identity_of(path) != known)

    def is_cut(self) -> bool:
        """Whether the database is shorter than it was: it only ever grows."""
        try:
            return self._file.stat().st_size < self._size
        except OSError:
            return False

    def make_room(self, *, is_broken: bool) -> Path | None:
        """Clear the journal's place for a new one. A file that another program put there, or that `is_broken`, is kept
        under another name, which is returned. Raises OSError.
        """
        found, known = identity_of(self._file), self._known.get(self._file)
        is_kept = found is not None and (found != known or is_broken)
        kept = _free_name(self._file) if is_kept else None
        for end in _BESIDE:
            path = self._file.with_name(self._file.name + end)
            is_ours = identity_of(path) == self._known.get(path)
            if kept is None or (is_ours and not is_broken):  # our log would be replayed into another's database
                path.unlink(missing_ok=True)
            elif path.exists():
                path.replace(kept.with_name(kept.name + end))
        return kept

    def forget(self) -> None:
        """The journal is opened again: none of the former files belongs to it."""
        self._known.clear()
        self._size = 0

    def _paths(self) -> tuple[Path, ...]:
        return (self._file.parent, *(self._file.with_name(self._file.name + end) for end in _BESIDE))


def _free_name(file: Path) -> Path:
    """Return a name for a file that is put out of the way."""
    names = (file.with_name(f"{file.name}.found-{number}") for number in count(1))
    return next(name for name in names if not name.exists())
