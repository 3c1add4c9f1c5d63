"""Where runs live on the disk: their directories, their files, and who may use one."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from engine.errors import UserError, did_you_mean
from engine.journal.lock import Lock, try_lock
from engine.journal.store import JOURNAL_FILE

CONFIG_FILE: Final = "config.yaml"
CHECKPOINTS: Final = "checkpoints"
TENSORBOARD: Final = "tensorboard"
FORENSICS: Final = "forensics"
CONSOLE_LOG: Final = "console.log"
LOCK_FILE: Final = "run.lock"
LATEST: Final = "latest"
MAX_NAME: Final = 100


def create_run(runs_dir: Path, name: str = "", *, stem: str = "run") -> Path:
    """Make the directory of a new run (mode 0700) and return it; without a name one is made of `stem` and the time.

    Raises UserError when the name cannot be a directory's, the run exists, or the directory cannot be made.
    """
    if name:
        _check_name(name)
    names = [name] if name else _timed_names(stem)
    try:
        runs_dir.mkdir(parents=True, exist_ok=True)
        return next(path for path in map(runs_dir.joinpath, names) if _made(path, must=bool(name)))
    except OSError as error:
        raise UserError(f"cannot make a run in {runs_dir}: {error.strerror}") from error


def _made(path: Path, *, must: bool) -> bool:
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        if must:
            raise UserError(
                f"the run {path.name!r} exists in {path.parent}: choose another --run, or --resume it"
            ) from None
        return False
    return True


def _timed_names(stem: str) -> list[str]:
    first = f"{stem[: MAX_NAME - 20]}-{time.strftime('%Y%m%d-%H%M%S')}"
    return [first, *(f"{first}-{number}" for number in range(2, 100))]


def _check_name(name: str) -> None:
    usable = name.isprintable() and "/" not in name and "\\" not in name and len(name) <= MAX_NAME
    if not usable or name[0] in ".-" or name == LATEST:
        raise UserError(
            f"{name!r} cannot be a run's name: use up to {MAX_NAME} printable characters without slashes,"
            f" not {LATEST!r}, and no dot or dash in front"
        )


def list_runs(runs_dir: Path) -> list[Path]:
    """The directories in `runs_dir` that hold a journal, the one started last first."""
    if not runs_dir.is_dir():
        return []
    found = [path for path in runs_dir.iterdir() if (path / JOURNAL_FILE).is_file()]
    return sorted(found, key=lambda path: (started_at(path), path.name), reverse=True)


def started_at(path: Path) -> float:
    """When the run in `path` was last started or resumed, in seconds since 1970."""
    lock = path / LOCK_FILE
    return (lock if lock.exists() else path / JOURNAL_FILE).stat().st_mtime


def find_run(runs_dir: Path, name: str) -> Path:
    """The directory of the run called `name`: its name, a path to it, or 'latest' for the one started last.

    Raises UserError with the nearest match.
    """
    runs = list_runs(runs_dir)
    if name == LATEST:
        if not runs:
            raise UserError(f"there is no run in {runs_dir} yet")
        return runs[0]
    path = Path(name).parent if Path(name).name == JOURNAL_FILE else Path(name)
    for candidate in (runs_dir / name, path):
        if name and (candidate / JOURNAL_FILE).is_file():
            return candidate if candidate.name else candidate.absolute()
    raise UserError(f"there is no run {name!r} in {runs_dir}: {did_you_mean(name, (run.name for run in runs))}")


def lock_run(path: Path) -> Lock:
    """Take the run at `path` for this process until the lock is released or the process dies.

    Raises UserError when another process holds it.
    """
    file = path / LOCK_FILE
    try:
        lock = try_lock(file, flags=os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise UserError(f"cannot lock the run {path}: {error.strerror}") from error
    if lock is None:
        raise UserError(f"the run {path.name!r} is in use by process {file.read_text().strip() or '?'}: stop it first")
    file.write_text(f"{os.getpid()}\n")
    return lock
