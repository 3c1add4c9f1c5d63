"""What can be found wrong with a run before anything is made on the disk, and before torch is imported."""

from __future__ import annotations

import os
from pathlib import Path

from engine.errors import UserError


def check_data(path: str) -> None:
    """Raise UserError unless `path` is a directory that can be listed; an empty one names the built-in people."""
    if not path:
        return
    try:
        if not os.listdir(path):
            raise UserError(f"The data path {path} is an empty directory: is the disk that holds the data mounted?")
    except FileNotFoundError:
        raise UserError(f"The data path {path} does not exist: give the directory that holds the data set.") from None
    except NotADirectoryError:
        raise UserError(f"The data path {path} is a file, not a directory: give the directory it lies in.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"The data path {path!r} cannot be read: {reason}.") from None


def check_weights(path: str) -> None:
    """Raise UserError unless `path` is empty or a file: the checkpoint that --init-from names."""
    try:
        is_there = not path or Path(path).is_file()
    except (OSError, ValueError):  # a name that is too long, a null byte, no permission
        is_there = False
    if not is_there:
        raise UserError(
            f"--init-from {path}: there is no such file; give a checkpoint such as runs/NAME/checkpoints/best.pt"
        )
