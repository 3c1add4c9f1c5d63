"""Create the directories of runs, take over unused ones, and discard those of refused runs."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from engine.errors import UserError
from engine.journal.disk.content import took_a_step
from engine.journal.disk.labels import LABELS_FILE
from engine.journal.disk.run_dir import (
    CHECKPOINTS,
    CONFIG_FILE,
    CONSOLE_LOG,
    JOURNAL_FILES,
    LOCK_FILE,
    MAX_NAME,
    TENSORBOARD,
    check_name,
    lock_run,
)

_BEGINNINGS: Final = frozenset(
    {LOCK_FILE, CONSOLE_LOG, CONFIG_FILE, f"{CONFIG_FILE}.partial", LABELS_FILE, *JOURNAL_FILES}
)
"""Files that a run has before its first step."""
_MADE_HERE: Final = 8
"""Number of newest run directories of this process to remember."""
_made_here: Final[dict[tuple[int, int], int]] = {}
"""Device and inode of each run directory of this process, with a descriptor that keeps the inode in use.

Otherwise another process's directory could reuse the inode of a deleted one.
"""


def create_run(runs_dir: Path, name: str = "", *, stem: str = "run") -> Path:
    """Create the directory of a new run (mode 0700) and return it. Without `name`, one is made of `stem` and the time.

    An existing directory is taken over if its run was interrupted before the first step. Raises UserError if the name
    is invalid, the run exists, or the directory cannot be created.
    """
    if name:
        check_name(name)
    names = [name] if name else _timed_names(stem)
    try:
        runs_dir.mkdir(parents=True, exist_ok=True)
        return next(path for path in map(runs_dir.joinpath, names) if _made(path, must=bool(name)))
    except OSError as error:
        raise UserError(f"cannot create a run in {runs_dir}: {error.strerror}") from error


def _made(path: Path, *, must: bool) -> bool:
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        if must:
            _take_over(path)
        return must
    _remember(path)
    return True


def _remember(path: Path) -> None:
    """Remember that this process created the directory `path`, and forget the oldest if there are too many."""
    _made_here[_identity(path)] = os.open(path, os.O_RDONLY)
    for known in list(_made_here)[:-_MADE_HERE]:
        os.close(_made_here.pop(known))


def _take_over(path: Path) -> None:
    """Raise UserError unless the existing directory is an unused beginning of a run."""
    if holds_work(path):
        raise UserError(f"the run {path.name!r} exists in {path.parent}: choose another name, or resume it")
    lock_run(path).release()


def holds_work(path: Path) -> bool:
    """Return whether a run's directory has more content than before the first step, or is not a run's."""
    if path.is_symlink() or not path.is_dir():
        return True
    return not all(_is_beginning(entry) for entry in path.iterdir()) or took_a_step(path)


def _is_beginning(entry: Path) -> bool:
    if entry.is_symlink():
        return False
    if entry.is_file():
        return entry.name in _BEGINNINGS
    patterns = {TENSORBOARD: "events.out.tfevents.*", CHECKPOINTS: "*.partial"}
    pattern = patterns.get(entry.name)
    return pattern is not None and all(held.is_file() and held.match(pattern) for held in entry.iterdir())


def start_over(path: Path) -> None:
    """Remove the journal of a run that was interrupted before its first step. The caller holds the lock.

    Raises UserError if there is more content: such a run must be resumed.
    """
    if not any((path / name).exists() for name in JOURNAL_FILES):
        return
    if holds_work(path):
        raise UserError(f"the run {path.name!r} exists in {path.parent}: choose another name, or resume it")
    for name in JOURNAL_FILES:
        (path / name).unlink(missing_ok=True)


def discard_run(path: Path) -> None:
    """Remove the directory of a refused run, if this process created it and it has no content worth keeping."""
    with suppress(OSError, UserError):
        if _identity(path) not in _made_here or holds_work(path):
            return
        with lock_run(path):
            for folder in [entry for entry in path.iterdir() if entry.is_dir()]:
                _remove_with_files(folder)
            _remove_with_files(path)


def _remove_with_files(folder: Path) -> None:
    """Remove `folder` and its files. Raises OSError if it holds a folder."""
    for entry in folder.iterdir():
        entry.unlink()
    folder.rmdir()


def _identity(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_dev, status.st_ino


def _timed_names(stem: str) -> list[str]:
    first = f"{stem[: MAX_NAME - 20]}-{time.strftime('%Y%m%d-%H%M%S')}"
    return [first, *(f"{first}-{number}" for number in range(2, 100))]
