"""Check the archive of a checkpoint before its tensors are read, and the tensors after."""

from __future__ import annotations

import zipfile
from pathlib import Path

import torch

from engine.training.checkpoint.values import NOT_PLAIN, is_plain

_LONGEST_REASON = 200
"""Maximum number of characters of a library's error message."""


def reason_of(error: Exception) -> str:
    """Return an error's first line. Operators that the meta device lacks belong to tensors that are not plain."""
    if isinstance(error, NotImplementedError):
        return NOT_PLAIN
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return line if len(line) <= _LONGEST_REASON else f"{line[:_LONGEST_REASON]}..."


def check_archive(path: Path) -> None:
    """Raise ValueError unless the file is an uncompressed archive as torch writes it."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if any(m.compress_type != zipfile.ZIP_STORED for m in members):
        raise ValueError("it is compressed, which torch never does")
    if sum(m.file_size for m in members) > path.stat().st_size:
        raise ValueError("it claims to hold more than it does")


def check_tensors(payload: object, device: str, size: int) -> None:
    """Raise ValueError if a tensor is not plain and dense on `device`, or if all need more than `size` bytes."""
    waiting: list[object] = [payload]
    seen: set[int] = set()
    needed = 0
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, torch.Tensor):
            if not is_plain(value, device):
                raise ValueError(NOT_PLAIN)
            needed += value.numel() * value.element_size()
        elif isinstance(value, dict):
            waiting += [*value.keys(), *value.values()]
        elif isinstance(value, (list, tuple, set)):
            waiting += value
    if needed > size:
        raise ValueError(f"its tensors would take {needed} bytes, and the file has {size}")


def are_weights(model: object) -> bool:
    """Return whether `model` is a dict of tensors by name, as a network's state is, and not empty."""
    if not isinstance(model, dict) or not model:
        return False
    return all(isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in model.items())
