"""Which values a checkpoint can hold: those that are read again without executing anything."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

import numpy as np
import torch

NOT_PLAIN: Final = "it holds tensors that are sparse, quantized, complex or otherwise not plain"

_PLAIN_TYPES: Final = frozenset(
    {torch.float16, torch.bfloat16, torch.float32, torch.float64}
    | {torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool}
)
_SCALARS: Final = frozenset({type(None), bool, int, float, complex, str, bytes, bytearray, torch.dtype, torch.device})
_CONTAINERS: Final = frozenset({list, tuple, set, dict, OrderedDict, Counter, torch.Size})
"""Types that `torch.load` reads with `weights_only`. It refuses their subclasses."""


def is_plain(value: torch.Tensor, device: str) -> bool:
    """Return whether `value` is a dense tensor of a usual type on a device of this kind."""
    dense = value.device.type == device and value.layout == torch.strided
    return dense and type(value) in (torch.Tensor, torch.nn.Parameter) and value.dtype in _PLAIN_TYPES


def check_values(payload: Mapping[str, Any]) -> None:
    """Raise TypeError for a value of a checkpoint that could be written, but not be read again.

    The message names the place of the value. Such values come from the state of a foreign training.
    """
    waiting: list[tuple[str, object]] = [*payload.items()]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, torch.Tensor):
            if not is_plain(value, "cpu"):
                raise TypeError(f"{place} cannot be in a checkpoint: {NOT_PLAIN}")
        elif type(value) in _CONTAINERS:
            waiting += _held(place, value)
        elif type(value) not in _SCALARS:
            raise TypeError(
                f"{place} is of the type {type(value).__qualname__}, which a checkpoint cannot hold: "
                "let state_dict() return numbers, texts, tensors, lists and dicts"
            )


def is_plain_tree(value: object) -> bool:
    """Return whether `value` could be read again from a checkpoint."""
    try:
        check_values({"": value})
    except TypeError:
        return False
    return True


def _held(place: str, value: object) -> Iterator[tuple[str, object]]:
    """Yield the values in a container with their places, and the keys of a dict."""
    if not isinstance(value, dict):
        yield from ((place, item) for item in cast(Sequence[object], value))
        return
    for key, item in cast(dict[object, object], value).items():
        yield f"a key of {place}", key
        yield f"{place}.{key}", item


def copy_to_host(value: Any) -> Any:
    """Return a deep copy of a tree of dicts, lists and tensors that shares no memory with training.

    NumPy's numbers, such as a learning rate, become Python's, and named tuples become tuples, which can be read again.
    """
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: copy_to_host(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [copy_to_host(item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    return value.item() if isinstance(value, np.generic) else value


def is_equal(left: Any, right: Any) -> bool:
    """Return whether two trees of dicts, lists and tensors hold the same values."""
    if isinstance(left, torch.Tensor):
        return isinstance(right, torch.Tensor) and torch.equal(left, right)
    if isinstance(left, Mapping):
        return (
            isinstance(right, Mapping)
            and left.keys() == right.keys()
            and all(is_equal(left[k], right[k]) for k in left)
        )
    if isinstance(left, (list, tuple)):
        return type(left) is type(right) and len(left) == len(right) and all(map(is_equal, left, right))
    return bool(left == right)
