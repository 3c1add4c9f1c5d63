"""The directories of runs: creating, listing, finding and locking them."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from engine.errors import UserError, did_you_mean
from engine.journal.disk.content import took_a_step
from engine.journal.disk.labels import LABELS_FILE, read_labels
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
        raise UserError(f"the run {path.name!r} exists in {path.parent}: choose another --run, or --resume it")
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


def _is_dead(path: Path) -> bool:
    try:
        return path.parent.is_dir() and path.is_dir() and not holds_work(path)
    except (OSError, ValueError):
        return False


def start_over(path: Path) -> None:
    """Remove the journal of a run that was interrupted before its first step. The caller holds the lock.

    Raises UserError if there is more content: such a run must be resumed.
    """
    if not any((path / name).exists() for name in _JOURNAL_FILES):
        return
    if holds_work(path):
        raise UserError(f"the run {path.name!r} exists in {path.parent}: choose another --run, or --resume it")
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


def list_runs(runs_dir: Path) -> list[Path]:
    """Return the directories in `runs_dir` with a journal or checkpoints, the last started first.

    Unreadable ones are omitted. Raises UserError if `runs_dir` itself is unreadable.
    """
    found = [path for path in _entries(runs_dir) if _holds_run(path)]
    return sorted(found, key=lambda path: (started_at(path), path.name), reverse=True)


def private_runs(runs_dir: Path) -> dict[str, str]:
    """Return the unreadable directories in `runs_dir` that may hold runs, each with a sentence about it."""
    return {path.name: no_permission(path) for path in sorted(_entries(runs_dir)) if _is_private(path)}


def _entries(runs_dir: Path) -> list[Path]:
    try:
        return [path for path in runs_dir.iterdir() if not path.name.startswith(DELETED)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UserError(f"cannot list the runs in {runs_dir}: {error.strerror}") from error


def _holds_run(path: Path) -> bool:
    """Return whether a journal or a checkpoint is visible there. Unreadable directories count as empty."""
    try:
        return (path / JOURNAL_FILE).is_file() or any((path / CHECKPOINTS).glob("step-*.pt"))
    except (OSError, ValueError):  # no permission, a name that is too long, a null byte
        return False


def has_journal(path: Path) -> bool:
    """Return whether the run at `path` has a journal with content."""
    try:
        return (path / JOURNAL_FILE).stat().st_size > 0
    except OSError:
        return False


def _is_private(path: Path) -> bool:
    try:
        (path / JOURNAL_FILE).stat()
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return not _may(path, os.R_OK)


def _may(run: Path, access: int) -> bool:
    """Return whether this user may read or write the run, even if its journal is missing."""
    journal = run / JOURNAL_FILE
    return os.access(journal if journal.exists() else run, access, effective_ids=os.access in os.supports_effective_ids)


def no_permission(path: Path) -> str:
    """Return the sentence about a run that this user may not read."""
    try:
        owner = path.owner()
    except (OSError, KeyError):  # a user without a name
        owner = "another user"
    return f"no permission to read the run {path.name!r}: it belongs to {owner}, who can share it with chmod"


def started_at(path: Path) -> float:
    """Return when the run in `path` was last started or resumed, in seconds since 1970; 0 if unknown."""
    for name in (LOCK_FILE, JOURNAL_FILE):
        with suppress(OSError):
            return (path / name).lstat().st_mtime
    return 0.0


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


def find_run(runs_dir: Path, name: str, *, to_write: bool = False) -> Path:
    """Return the directory of the run `name`: its name, a path to it, or 'latest' for the last started.

    A renamed run is found by its former name too. 'latest' skips runs that this user may not read or, with `to_write`,
    not write. Raises UserError with the nearest match.
    """
    runs = list_runs(runs_dir)
    if name == LATEST:
        return _latest(runs_dir, runs, os.R_OK | os.W_OK if to_write else os.R_OK)
    path = Path(name).parent if Path(name).name == JOURNAL_FILE else Path(name)
    for candidate in (runs_dir / name, path):
        if name and _holds_run(candidate):
            if (candidate / JOURNAL_FILE).exists() and not _may(candidate, os.R_OK):
                raise UserError(no_permission(candidate))
            return candidate if candidate.name else candidate.absolute()
        if name and _is_private(candidate):
            raise UserError(no_permission(candidate))
    if name and _is_dead(runs_dir / name):
        raise UserError(_cut_off(name))
    if name and (renamed := renamed_run(runs_dir / name)) is not None:
        return renamed
    shown = name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}..."
    raise UserError(f"there is no run {shown!r} in {runs_dir}: {did_you_mean(shown, (run.name for run in runs))}")


def renamed_run(path: Path) -> Path | None:
    """Return the directory of the run that was at `path` before it was renamed; `None` if there is not exactly one."""
    try:
        found = [run for run in list_runs(path.parent) if path.name in read_labels(run).formerly]
    except UserError:
        return None
    return found[0] if len(found) == 1 else None


def recorded_config(path: Path) -> Path:
    """Return the file with the configuration of the run at `path`, which may be unreadable.

    Raises UserError if it is missing or empty.
    """
    file = path / CONFIG_FILE
    check_plain_file(file)
    try:
        is_there = bool(file.read_bytes().strip())
    except PermissionError:
        return file
    except OSError:
        is_there = False
    if is_there:
        return file
    if _is_dead(path):
        raise UserError(_cut_off(path.name))
    raise UserError(
        f"{file} is missing or empty: put it back, or name the run's configuration with --config"
        " and its data with --data"
    )


def _cut_off(name: str) -> str:
    return f"the run {name!r} was cut off before its first step: begin it again with --run {name}"


def _latest(runs_dir: Path, runs: list[Path], access: int) -> Path:
    usable = next((run for run in runs if _may(run, access)), None)
    if usable is not None:
        return usable
    if runs or private_runs(runs_dir):
        raise UserError(f"there is no run in {runs_dir} that you may {'write to' if access & os.W_OK else 'read'}")
    raise UserError(f"there is no run in {runs_dir} yet")


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
