"""Finding runs: those in a directory, one by its name or path, and the configuration that it was started with."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from engine.errors import UserError, did_you_mean
from engine.journal.disk.labels import read_labels
from engine.journal.disk.new_run import holds_work
from engine.journal.disk.plain_files import check_plain_file
from engine.journal.disk.run_dir import CHECKPOINTS, CONFIG_FILE, DELETED, LATEST, LOCK_FILE, MAX_NAME
from engine.journal.store import JOURNAL_FILE


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
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"cannot list the runs in {runs_dir}: {error.strerror}") from error


def _holds_run(path: Path) -> bool:
    """Return whether a journal or a checkpoint is visible there. Unreadable directories count as empty."""
    try:
        return (path / JOURNAL_FILE).is_file() or any((path / CHECKPOINTS).glob("step-*.pt"))
    except (OSError, ValueError):  # no permission, a name that is too long, a null byte
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


def _run_at(path: Path) -> Path | None:
    """Return `path` if it holds a run. Raises UserError if this user may not read it."""
    holds_run = _holds_run(path)
    is_closed = (path / JOURNAL_FILE).exists() and not _may(path, os.R_OK) if holds_run else _is_private(path)
    if is_closed:
        raise UserError(no_permission(path))
    return (path if path.name else path.absolute()) if holds_run else None


def find_run(runs_dir: Path, name: str, *, to_write: bool = False) -> Path:
    """Return the directory of the run `name`: its name, a path to it, or 'latest' for the last started.

    A renamed run is found by its former name too. 'latest' skips runs that this user may not read or, with `to_write`,
    not write. Raises UserError with the nearest match.
    """
    if name == LATEST:
        return _latest(runs_dir, list_runs(runs_dir), os.R_OK | os.W_OK if to_write else os.R_OK)
    path = Path(name).parent if Path(name).name == JOURNAL_FILE else Path(name)
    found = next((run for candidate in (runs_dir / name, path) if name and (run := _run_at(candidate))), None)
    if found is not None:
        return found
    if name and _is_dead(runs_dir / name):
        raise UserError(_cut_off(name))
    if name and (renamed := renamed_run(runs_dir / name)) is not None:
        return renamed
    shown = name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}..."
    known = (run.name for run in list_runs(runs_dir))
    raise UserError(f"there is no run {shown!r} in {runs_dir}: {did_you_mean(shown, known)}")


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


def _is_dead(path: Path) -> bool:
    try:
        return path.parent.is_dir() and path.is_dir() and not holds_work(path)
    except (OSError, ValueError):
        return False


def _cut_off(name: str) -> str:
    return f"the run {name!r} was cut off before its first step: begin it again with --run {name}"


def _latest(runs_dir: Path, runs: list[Path], access: int) -> Path:
    usable = next((run for run in runs if _may(run, access)), None)
    if usable is not None:
        return usable
    if runs or private_runs(runs_dir):
        raise UserError(f"there is no run in {runs_dir} that you may {'write to' if access & os.W_OK else 'read'}")
    raise UserError(f"there is no run in {runs_dir} yet")
