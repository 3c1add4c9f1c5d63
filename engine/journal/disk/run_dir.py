"""The directories of runs: the names of their files, locking them, and whether a process uses one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from engine.errors import UserError
from engine.journal.disk.lock import Lock, try_lock
from engine.journal.disk.plain_files import check_plain_directory, check_plain_file
from engine.journal.store import JOURNAL_FILE, SIDE_FILES

CONFIG_FILE: Final = "config.yaml"
CHECKPOINTS: Final = "checkpoints"
TENSORBOARD: Final = "tensorboard"
FORENSICS: Final = "forensics"
PREVIEWS: Final = "previews"
HISTOGRAMS: Final = "histograms"
CONSOLE_LOG: Final = "console.log"
LOCK_FILE: Final = "run.lock"
LATEST: Final = "latest"
MAX_NAME: Final = 100
DELETED: Final = ".deleted-"
"""Beginning of the name of a directory whose run is being deleted: it is no run any more."""

JOURNAL_FILES: Final = tuple(f"{JOURNAL_FILE}{suffix}" for suffix in ("", *SIDE_FILES))
_ALL_RIGHTS: Final = os.R_OK | os.W_OK | os.X_OK
_SHARE: Final = "its owner can make it writable with chmod, or continue a copy"


def check_name(name: str) -> None:
    """Raise UserError if `name` cannot be the name of a run."""
    usable = bool(name) and name.isprintable() and "/" not in name and "\\" not in name and len(name) <= MAX_NAME
    if not usable or name[0] in ".-" or name == LATEST:
        raise UserError(
            f"{name!r} cannot be a run's name: use up to {MAX_NAME} printable characters without slashes,"
            f" not {LATEST!r}, and no dot or dash in front"
        )


def has_journal(path: Path) -> bool:
    """Return whether the run at `path` has a journal with content."""
    try:
        return (path / JOURNAL_FILE).stat().st_size > 0
    except OSError:
        return False


class StartWatch:
    """Detects that a process takes the run at `path`, without reading the run's files."""

    def __init__(self, path: Path) -> None:
        self._file = path / LOCK_FILE
        self._before = self._claimed_at()
        self._has_begun = False

    def has_begun(self) -> bool:
        """Return whether a process has taken the run since this object was created."""
        self._has_begun = self._has_begun or self._claimed_at() != self._before
        return self._has_begun

    def _claimed_at(self) -> int:
        """Return the time of the lock file in nanoseconds; 0 if there is none."""
        try:
            return self._file.lstat().st_mtime_ns
        except OSError:
            return 0


def lock_run(path: Path) -> Lock:
    """Lock the run at `path` for this process until the lock is released or the process dies.

    Raises UserError if another process holds it, or if it contains links that lead elsewhere.
    """
    lock = _locked(path, os.O_RDWR | os.O_CREAT)
    try:
        claim_run(path, lock)
    except UserError:
        lock.release()
        raise
    return lock


def hold_run(path: Path) -> Lock:
    """Lock the run at `path` without changing its files, unlike `claim_run`. A run without a lock file is free.

    Raises UserError if another process holds it.
    """
    if not os.path.lexists(path / LOCK_FILE):
        check_own_files(path)
        return Lock(-1)
    return _locked(path, os.O_RDWR)


def running_process(path: Path) -> str:
    """Return the id of the process that holds the run at `path`, '?' if it is unknown; empty string for none."""
    file = path / LOCK_FILE
    try:
        lock = try_lock(file, flags=os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    if lock is None:
        return _holder(file)
    lock.release()
    return ""


def claim_run(path: Path, lock: Lock) -> None:
    """Write this process and the time into the lock file. Raises UserError if writing fails."""
    if not lock.is_held:
        lock.take_over(_locked(path, os.O_RDWR | os.O_CREAT))
    try:
        lock.write(f"{os.getpid()}\n")
    except OSError as error:
        raise UserError(f"cannot lock the run {path}: {error.strerror}") from error


def _locked(path: Path, flags: int) -> Lock:
    check_own_files(path)
    file = path / LOCK_FILE
    try:
        lock = try_lock(file, flags=flags | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise UserError(f"cannot lock the run {path}: {error.strerror}; {_SHARE}") from error
    if lock is None:
        raise UserError(f"the run {path.name!r} is in use by process {_holder(file)}: stop it first")
    return lock


def _holder(file: Path) -> str:
    """Return the process id in a lock file, or '?'."""
    try:
        with file.open("rb") as held:
            text = held.read(20).decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return "?"
    return text if text.isdigit() else "?"


def check_own_files(path: Path) -> None:
    """Raise UserError if writing into the run at `path` would write or delete files elsewhere, or is not permitted."""
    if path.is_dir() and not os.access(path, _ALL_RIGHTS, effective_ids=os.access in os.supports_effective_ids):
        raise UserError(f"cannot lock the run {path}: Permission denied; {_SHARE}")
    for name in (LOCK_FILE, CONFIG_FILE, CONSOLE_LOG, *JOURNAL_FILES):
        check_plain_file(path / name)
    for name in (CHECKPOINTS, TENSORBOARD, FORENSICS, PREVIEWS, HISTOGRAMS):
        check_plain_directory(path / name, depth=1)
