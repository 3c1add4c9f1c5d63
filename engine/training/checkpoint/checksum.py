"""Checksum files of checkpoints, in `sha256sum` format, and the order that keeps them true to their file.

A file and its checksum cannot be replaced in one step. So the new checksum waits under a name of its own while the
file is replaced. A file is valid if it matches either of the two. After a kill at any moment it is the old or the new
one, and verifies.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Final

_LONGEST: Final = 1000
"""Maximum number of characters read from a checksum file."""


def checksum_path(path: Path) -> Path:
    """Return the path of a checkpoint's checksum file."""
    return path.with_name(path.name + ".sha256")


def _waiting_path(path: Path) -> Path:
    """Return the path of the checksum of a file that is about to replace the checkpoint at `path`."""
    return path.with_suffix(".sha256.partial")


def sha256_of(path: Path) -> str:
    """Return the checksum of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def has_checksum(path: Path) -> bool:
    """Return whether there is a checksum file for the checkpoint at `path`."""
    return checksum_path(path).is_file() or _waiting_path(path).is_file()


def known_checksums(path: Path) -> tuple[str, ...]:
    """Return the checksums that the checkpoint at `path` may have: its own, and the one that waits if there is one.

    Raises OSError if a checksum file cannot be read.
    """
    files = (checksum_path(path), _waiting_path(path))
    return tuple(word for file in files if file.is_file() for word in _first_word(file))


def _first_word(file: Path) -> list[str]:
    with file.open(errors="replace") as opened:
        return opened.read(_LONGEST).split()[:1]


def replace_checked(partial: Path, path: Path, checksum: str) -> None:
    """Rename `partial`, whose content has `checksum`, to `path`; the file at `path` verifies at any moment."""
    _settle(path)
    waiting = _waiting_path(path)
    waiting.unlink(missing_ok=True)
    with waiting.open("x") as file:  # an existing link is an error: it could lead out of the directory
        file.write(f"{checksum}  {path.name}\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    waiting.replace(checksum_path(path))


def _settle(path: Path) -> None:
    """Finish what a kill has interrupted: if the file at `path` has the checksum that waits, make it the file's own."""
    waiting = _waiting_path(path)
    if not waiting.is_file() or waiting.is_symlink():
        return
    if path.is_file() and _first_word(waiting) == [sha256_of(path)]:
        waiting.replace(checksum_path(path))


def move_checked(path: Path, folder: Path) -> None:
    """Move a checkpoint into `folder` with its checksum, such that the file verifies at any moment."""
    _settle(path)
    own, target = checksum_path(path), folder / path.name
    if not own.exists():
        path.replace(target)
        return
    _settle(target)
    waiting = _waiting_path(target)
    waiting.unlink(missing_ok=True)
    link_or_copy(own, waiting)
    path.replace(target)
    waiting.replace(checksum_path(target))
    own.unlink()


def link_or_copy(path: Path, target: Path) -> None:
    """Give the file at `path` a second name, which must be free: a hard link, or a copy if the disk has none."""
    try:
        os.link(path, target)
    except OSError:
        shutil.copyfile(path, target)


def remove_checked(path: Path) -> None:
    """Delete a checkpoint with its checksum."""
    for file in (path, checksum_path(path), _waiting_path(path)):
        file.unlink(missing_ok=True)
