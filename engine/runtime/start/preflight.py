"""Checks of a run before anything is written to disk and before torch is imported."""

from __future__ import annotations

import os
from pathlib import Path

from engine.errors import UserError


def check_data(path: str) -> None:
    """Raise UserError unless `path` is a readable directory or empty. An empty path means the synthetic dataset."""
    if not path:
        return
    try:
        if not os.listdir(path):
            raise UserError(f"The data path {path} is an empty directory: is the disk that holds the data mounted?")
    except FileNotFoundError:
        raise UserError(f"The data path {path} does not exist: give the directory that holds the data set.") from None
    except NotADirectoryError:
        raise UserError(f"The data path {path} is a file, not a directory: give its directory.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"The data path {path!r} cannot be read: {reason}.") from None


def check_weights(path: str) -> None:
    """Raise UserError unless `path` is empty or an existing file, the checkpoint of --init-from."""
    try:
        is_there = not path or Path(path).is_file()
    except (OSError, ValueError):  # a name that is too long, a null byte, no permission
        is_there = False
    if not is_there:
        raise UserError(
            f"--init-from {path}: there is no such file; give a checkpoint such as runs/NAME/checkpoints/best.pt"
        )
