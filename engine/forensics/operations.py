"""What torch knows of an operation: its tensors, its node in the graph, and the line that asks for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor

_TORCH = str(Path(torch.__file__).parent)
_HERE = str(Path(__file__).parent)
_ROOT = Path(__file__).parents[2]
_MOST_NODES = 64


def reaches(root: Any, sequence: int) -> bool:
    """Return whether the graph below node `root` contains the node `sequence`. Numbers decrease along its edges."""
    waiting, seen = [root], set[Any]()  # of nodes, not of their ids: torch may make a further Python object for one
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        number = node._sequence_nr()
        if number == sequence:
            return True
        if number > sequence:
            waiting.extend(following for following, _ in node.next_functions)
    return False


def current_node() -> Any:
    """Return the node whose backward pass is running; `None` in a forward pass."""
    return torch._C._current_autograd_node()  # pyright: ignore[reportPrivateUsage]


def newest_node() -> int:
    """Return the number of the newest node: in a forward pass, that of the current operation if it has one."""
    return torch.autograd._get_sequence_nr() - 1  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]


def key_of(tensor: Tensor) -> int:
    """Return a key that a tensor shares with its views, but with no other live tensor."""
    return tensor.untyped_storage()._cdata  # pyright: ignore[reportPrivateUsage]


def named_tensors(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors in the arguments of an operation with the names of the arguments."""
    names = [argument.name for argument in func._schema.arguments]
    for name, value in (*zip(names, args, strict=False), *kwargs.items()):
        if isinstance(value, Tensor):
            yield name, value
        elif isinstance(value, list | tuple):
            yield from ((f"{name}[{i}]", item) for i, item in enumerate(value) if isinstance(item, Tensor))


def tensors_of(result: Any) -> Iterator[Tensor]:
    """Yield the tensors in the result of an operation."""
    if isinstance(result, Tensor):
        yield result
    elif isinstance(result, list | tuple):
        yield from (tensor for item in result for tensor in tensors_of(item))


def name_of(func: Any) -> str:
    """Return the common name of an operation, such as aten::_log_softmax or aten::relu_."""
    return func._schema.name.rpartition("::")[2].strip("_").removeprefix("native_")


def asking_frame(frame: FrameType | None) -> FrameType | None:
    """Return the innermost frame outside torch and this package, or `None`."""
    for _ in range(_MOST_NODES):
        if frame is None:
            return None
        file = frame.f_code.co_filename
        if not file.startswith((_TORCH, _HERE)) and not file.startswith("<"):
            return frame
        frame = frame.f_back
    return None


def source_of(frame: FrameType | None) -> str:
    """Return the file, line and function of a frame; an empty string for `None`."""
    if frame is None:
        return ""
    return f"{_shown(frame.f_code.co_filename)}:{frame.f_lineno} in {frame.f_code.co_name}"


@cache
def _shown(file: str) -> str:
    """Return a program file's relative path, or the name of any other file."""
    path = Path(file)
    return str(path.relative_to(_ROOT)) if path.is_relative_to(_ROOT) else path.name
