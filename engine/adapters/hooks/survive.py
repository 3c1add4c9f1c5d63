"""Do no harm to a foreign training: survive a fault of the cockpit's own, and stay out of what torch compiles."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Final, final

import torch

untraced: Final = torch._disable_dynamo  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]
"""Decorator of a function that a compiled step may call: `torch.compile` must not trace it, which takes long or fails.

Unlike `torch.compiler.disable` it imports the compiler only when the function is called: that takes seconds.
"""


@final
class Survive:
    """A context that hands an exception of its block to `on_fault`, and then goes on after the block.

    What is no Exception passes through: a stop, or an interrupt of the user's. One object serves any number of blocks,
    also one in another, and in any thread.
    """

    def __init__(self, on_fault: Callable[[Exception], None]) -> None:
        self._on_fault = on_fault

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        """Hand an exception on. Return whether it was one."""
        if not isinstance(error, Exception):
            return False
        self._on_fault(error)
        return True


def say(sentence: str) -> None:
    """Write a line of the cockpit's to the error stream, which a program may have closed or replaced."""
    with suppress(Exception):
        sys.stderr.write(f"cockpit: {sentence}\n")
