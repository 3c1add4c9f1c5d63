"""Check that files and directories are plain, so that links never redirect writing elsewhere."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from engine.errors import UserError

_KINDS: Final = (
    (stat.S_ISLNK, "a link"),
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISREG, "a file"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
)


def check_plain_file(path: Path) -> None:
    """Raise UserError unless `path` is missing or a regular file with one name.

    Writing then changes no other file.
    """
    found = _status(path)
    if found is None:
        return
    _check_kind(path, found, stat.S_ISREG, "a file")
    if found.st_nlink > 1:
        raise UserError(
            f"{path} is one file with {found.st_nlink} names (hard links), and writing to it would change them all:"
            " put a copy in its place"
        )


def check_plain_directory(path: Path, *, depth: int = 0) -> None:
    """Raise UserError unless `path` is missing or a directory of regular files and, down to `depth`, such directories.

    Hard links are accepted: files of these directories are replaced or deleted, never overwritten.
    """
    found = _status(path)
    if found is None:
        return
    _check_kind(path, found, stat.S_ISDIR, "a directory")
    try:
        names = sorted(os.listdir(path))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    for inner in map(path.joinpath, names):
        status = _status(inner)
        if status is None:
            continue
        if depth and stat.S_ISDIR(status.st_mode):
            check_plain_directory(inner, depth=depth - 1)
        else:
            _check_kind(inner, status, stat.S_ISREG, "a file")


def _status(path: Path) -> os.stat_result | None:
    """Return the status of `path` itself, without following links; `None` if it is missing."""
    try:
        return path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UserError(f"cannot access {path}: {error.strerror}") from error


def _check_kind(path: Path, found: os.stat_result, is_right: object, wanted: str) -> None:
    kind, name = next(
        ((test, name) for test, name in _KINDS if test(found.st_mode)), (None, "neither a file nor a directory")
    )
    if kind is not is_right:
        raise UserError(
            f"{path} is {name}, but a run needs {wanted} of its own: nothing is written through it; remove it,"
            f" or replace it by {wanted}"
        )
