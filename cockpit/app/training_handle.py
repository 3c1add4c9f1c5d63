"""Protocol of the training that runs behind the screen: start, stop, and how it ended."""

from __future__ import annotations

from typing import Protocol


class RunResult(Protocol):
    """How a training ended."""

    @property
    def code(self) -> int:
        """Exit code: 0 success, 1 failure, 2 user error, 128 + n ended by signal n."""
        ...

    @property
    def error(self) -> str:
        """Error in one sentence; an empty string if there was none or the journal has it."""
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

    def holds_program(self) -> bool:
        """Return whether a program would outlive this process: repeated signals end the program first."""
        ...

    def ending(self) -> RunResult | None:
        """Return how it ended; `None` while it continues."""
        ...

    def wait(self, seconds: float | None = None) -> RunResult | None:
        """Wait at most `seconds`; return how it ended, `None` while it continues."""
        ...
