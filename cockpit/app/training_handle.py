"""Protocol of the training that runs behind the screen: start, stop, and how it ended."""

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
    """A training in a thread of this process."""

    def start(self) -> None:
        """Start it in a thread of its own."""
        ...

    def stop(self, signal: int = 0) -> None:
        """Stop at the next step boundary with a checkpoint; `signal` is the number of the signal that requests it."""
        ...

    def is_stopped(self) -> bool:
        """Return whether a stop was requested."""
        ...

    def ending(self) -> RunResult | None:
        """Return how it ended; `None` while it continues."""
        ...

    def wait(self, seconds: float | None = None) -> RunResult | None:
        """Wait at most `seconds`; return how it ended, `None` while it continues."""
        ...
