"""The directories of runs: their files, creating and discarding them, and locking them."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from engine.errors import UserError
from engine.journal.disk.content import took_a_step
from engine.journal.disk.labels import LABELS_FILE
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

_JOURNAL_FILES: Final = tuple(f"{JOURNAL_FILE}{suffix}" for suffix in ("", *SIDE_FILES))
_BEGINNINGS: Final = frozenset(
    {LOCK_FILE, CONSOLE_LOG, CONFIG_FILE, f"{CONFIG_FILE}.partial", LABELS_FILE, *_JOURNAL_FILES}
)
"""Files that a run has before its first step."""
_ALL_RIGHTS: Final = os.R_OK | os.W_OK | os.X_OK
_SHARE: Final = "its owner can make it writable with chmod, or continue a copy"
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
    if not any((path / name).exists() for name in _JOURNAL_FILES):
        return
    if holds_work(path):
        raise UserError(f"the run {path.name!r} exists in {path.parent}: choose another name, or resume it")
    for name in _JOURNAL_FILES:
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
    for name in (LOCK_FILE, CONFIG_FILE, CONSOLE_LOG, *_JOURNAL_FILES):
        check_plain_file(path / name)
    for name in (CHECKPOINTS, TENSORBOARD, FORENSICS, PREVIEWS, HISTOGRAMS):
        check_plain_directory(path / name, depth=1)
