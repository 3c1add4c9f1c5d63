"""Rename and delete runs that no process writes."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from engine.errors import UserError
from engine.journal.disk.labels import read_labels, with_former_name, write_labels
from engine.journal.disk.run_dir import DELETED, check_name, has_journal, hold_run
from engine.journal.sessions import WriterSession, newest_session
from engine.journal.store import journal_file, open_readable, open_writable


def rename_run(path: Path, name: str) -> Path:
    """Give the run at `path` another name and return its new path.

    The former name is kept in its labels, so that `find_run` and the branches of the run still find it. Raises
    UserError if the name is invalid or taken, or if a process uses the run.
    """
    check_name(name)
    _refuse_link(path, "rename")
    target = path.with_name(name)
    if name == path.name:
        raise UserError(f"the run is called {name!r} already")
    if os.path.lexists(target):
        raise UserError(f"{name!r} exists in {path.parent} already: choose another name")
    with _unused(path):
        labels = read_labels(path)
        write_labels(path, with_former_name(labels, path.name, name))
        try:
            path.rename(target)
        except OSError as error:
            write_labels(path, labels)
            raise UserError(f"cannot rename the run {path}: {error.strerror}") from error
        _record_name(target)
    return target


def delete_run(path: Path) -> None:
    """Delete the run at `path` with all of its files.

    Its directory is moved first, so that a deletion that was cut off leaves no incomplete run. Raises UserError if a
    process uses the run, or if a part of it cannot be deleted.
    """
    _refuse_link(path, "delete")
    with _unused(path):
        moved = path.with_name(f"{DELETED}{os.getpid()}-{time.time_ns()}")
        try:
            path.rename(moved)
        except OSError as error:
            raise UserError(f"cannot delete the run {path}: {error.strerror}") from error
        try:
            shutil.rmtree(moved)
        except OSError as error:
            raise UserError(f"the run {path.name!r} is gone, but {moved} remains: {error.strerror}") from error


def _refuse_link(path: Path, action: str) -> None:
    if path.is_symlink():
        raise UserError(
            f"{path} is a link to {os.readlink(path)}: {action} the run there, and {action} the link yourself"
        )


@contextmanager
def _unused(path: Path) -> Generator[None]:
    """Hold the lock of the run at `path`. Raises UserError if a process writes it, also one that holds no lock."""
    with hold_run(path):
        session = _session(path)
        if session is not None and session.is_alive():
            raise UserError(f"the run {path.name!r} is in use by process {session.pid}: stop it first")
        yield


def _session(path: Path) -> WriterSession | None:
    """Return the newest session in the journal of a run. One that cannot be read is written by no process."""
    if not has_journal(path):
        return None
    with suppress(UserError, sqlite3.Error), closing(open_readable(path)) as connection:
        return newest_session(connection)
    return None


def _record_name(path: Path) -> None:
    """Write the new name into the state that the journal holds, which screens show; its time stays."""
    if not has_journal(path):
        return
    file = journal_file(path)
    before = file.stat()
    with suppress(UserError, sqlite3.Error), closing(open_writable(path)) as connection:
        connection.execute("UPDATE state SET body = json_set(body, '$.run', ?)", (path.name,))
    with suppress(OSError):
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
