"""Where the gradient of single consumers can be seen: a tap on a tensor that several of them read.

The network and the losses ask a tap for what a consumer shall read. Untapped they read the tensor itself.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

Tap = Callable[[str, Tensor], Tensor]
"""Given a consumer's name and the tensor that it is about to read: the same values to read instead."""


def untapped(consumer: str, read: Tensor) -> Tensor:
    """The tensor itself: nothing is measured."""
    return read
