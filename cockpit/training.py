"""The training that a screen was opened for, as the screen sees it: something to start, to stop, and that ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Ending:
    """How a training ended: its exit code, and for a mistake of the user (code 2) the sentence that says so."""

    code: int
    error: str = ""


class Training(Protocol):
    """A training in this process, beside the screen."""

    def start(self) -> None:
        """Begin, in a thread of its own."""
        ...

    def stop(self, signal: int = 0) -> None:
        """Ask for the end at the next step boundary, with a checkpoint; `signal` is the number of the one that asks."""
        ...

    def ending(self) -> Ending | None:
        """How it ended; None while it goes on."""
        ...
