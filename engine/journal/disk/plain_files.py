"""Plain files: what may be written in a directory that others may have filled, so that no link leads out of it."""

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
    """Raise UserError unless `path` is absent or a regular file without a second name: writing must change no other."""
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
    """Raise UserError unless `path` is absent or a directory of regular files and, down to `depth`, such directories.

    Hard links are let pass: the files of these directories are replaced or deleted, never written over.
    """
    found = _status(path)
    if found is None:
        return
    _check_kind(path, found, stat.S_ISDIR, "a directory")
    try:
        names = sorted(os.listdir(path))
    except OSError as error:
        raise UserError(f"cannot look into {path}: {error.strerror}") from error
    for inner in map(path.joinpath, names):
        status = _status(inner)
        if status is None:
            continue
        if depth and stat.S_ISDIR(status.st_mode):
            check_plain_directory(inner, depth=depth - 1)
        else:
            _check_kind(inner, status, stat.S_ISREG, "a file")


def _status(path: Path) -> os.stat_result | None:
    """The status of `path` itself, links not followed; `None` if it is absent."""
    try:
        return path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UserError(f"cannot look at {path}: {error.strerror}") from error


def _check_kind(path: Path, found: os.stat_result, is_right: object, wanted: str) -> None:
    kind, name = next(
        ((test, name) for test, name in _KINDS if test(found.st_mode)), (None, "neither a file nor a directory")
    )
    if kind is not is_right:
        raise UserError(
            f"{path} is {name} where a run has {wanted} of its own: nothing is written through it; remove it,"
            f" or put {wanted} in its place"
        )
