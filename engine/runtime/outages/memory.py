"""Recognise the errors of memory that ran out, and say which key of the configuration asks for less."""

from __future__ import annotations

import errno
import re
from typing import Final

import torch

OUT_OF_MEMORY: Final = "out of memory"
"""The kind of the alert."""

MEMORY_ERRORS: Final = (MemoryError, OSError, RuntimeError)
"""The classes of errors among which `is_out_of_memory` finds those of memory; torch's own is a RuntimeError."""

_SIGNS: Final = (
    "can't allocate memory",
    "out of memory",
    "Cannot allocate memory",
    "STATUS_ALLOC_FAILED",
    "std::bad_alloc",
    "Storage size calculation overflowed",
)
"""What libraries write that raise a plain RuntimeError."""

_AMOUNT: Final = re.compile(r"allocate (?:more than )?(\d[\d.]*) ?([KMGTPE]iB|[GM]B|bytes)", re.IGNORECASE)
_CAPACITY: Final = re.compile(r"total capacity of (\d[\d.]* [KMGTPE]iB)")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether `error` says that the processor or the accelerator has no memory left."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


def out_of_memory(
    error: BaseException, doing: str, *, is_validation: bool = False, batch_size: int = 0, rank: int | None = None
) -> str:
    """Return the sentence for `error`, raised while the engine was `doing` something; empty for a step.

    It names the keys to lower. `batch_size` is that of the step or of the validation, 0 for unknown. Of several ranks,
    `rank` is the one in which it was raised, if it is known.
    """
    amount, capacity = _amount_asked(str(error)), _CAPACITY.search(str(error))
    where = "" if rank is None else f" on rank {rank}"
    if doing == "building the network":
        what, keys = doing, "lower the sizes under model in the configuration"
    elif doing:
        what, keys = f"{doing}{where}", "take fewer or smaller images, or lower data.num_workers"
    elif batch_size == 1:
        name = "validation" if is_validation else "training step"
        what, keys = f"a {name} of one sample{where}", "lower the sizes under model in the configuration"
    elif is_validation:
        what, keys = "a validation", "lower validation.batch_size, or the sizes under model"
    else:
        what, keys = "a training step", "lower training.batch_size, or the sizes under model"
    limit = f", the device has {capacity[1]}" if capacity else ""
    return f"the memory is not enough for {what}{f' ({amount} more were asked for{limit})' if amount else ''}: {keys}"


def asked(text: str) -> str:
    """Return the amount that `text` says could not be had, as an insertion; an empty string if it names none."""
    amount = _amount_asked(text)
    return f" ({amount} asked)" if amount else ""


def _amount_asked(text: str) -> str:
    found = _AMOUNT.search(text)
    if found is None:
        return ""
    number, unit = found.groups()
    return f"{float(number) / 2**30:.1f} GiB" if unit == "bytes" else f"{number} {unit}"
