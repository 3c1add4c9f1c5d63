"""The training that a screen was opened for, as the screen sees it: something to start, to stop, and that ends."""

from __future__ import annotations

from typing import Protocol


class RunResult(Protocol):
    """How a training ended."""

    @property
    def code(self) -> int:
        """The exit code: 0 well, 1 a fault, 2 a mistake in what was asked, 128 + n ended by signal n."""
        ...

    @property
    def error(self) -> str:
        """What was wrong, in one sentence; '' where nothing was, or where the journal says it."""
        ...


class TrainingHandle(Protocol):
    """A training in this process, beside the screen."""

    def start(self) -> None:
        """Begin, in a thread of its own."""
        ...

    def stop(self, signal: int = 0) -> None:
        """Ask for the end at the next step boundary, with a checkpoint; `signal` is the number of the one that asks."""
        ...

    def is_stopped(self) -> bool:
        """Whether the end was asked for."""
        ...

    def ending(self) -> RunResult | None:
        """How it ended; None while it goes on."""
        ...

    def wait(self, seconds: float | None = None) -> RunResult | None:
        """How it ended, after `seconds` at most; None while it goes on."""
        ...
