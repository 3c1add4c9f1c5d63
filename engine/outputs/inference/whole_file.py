"""Write a file completely or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from engine.errors import UserError


def check_target(file: Path, option: str) -> None:
    """Raise UserError if the `file` that an option names has no directory, or is a directory or a device itself."""
    if not file.parent.is_dir():
        raise UserError(f"{option} {file}: there is no directory {file.parent}; choose another file")
    if file.is_dir():
        raise UserError(f"{option} {file} is a directory: give a file")
    if file.exists() and not file.is_file():
        raise UserError(f"{option} {file} is a device or a pipe, which would be replaced: give a file")


def write_whole(file: Path, content: bytes) -> None:
    """Write a file such that it is complete or, after a crash, absent or as before. Raises OSError.

    Of a link the file is written that it leads to.
    """
    file = file.resolve()
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
