"""The live state of a run as commands, checkpoints and policies see it, whatever trains it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from engine.protocol.events import Event
from engine.protocol.state import RunState


class LiveState(Protocol):
    """Network, optimizer, generators and data position, which a checkpoint holds and a rollback restores."""

    @property
    def progress(self) -> float:
        """Completed epochs, fractional."""
        ...

    @property
    def epoch(self) -> int:
        """The epoch (from 0) of the last step."""
        ...

    def total_steps(self, state: RunState) -> int:
        """Return the expected length of the run in steps; 0 if it is unknown."""
        ...

    def carry_out(self, event: Event, state: RunState) -> None:
        """Apply a steering event to tensors and data; `state` is the one before the event."""
        ...

    def is_finite(self) -> bool:
        """Return whether every weight and moment is finite. Waits for the device."""
        ...

    def snapshot(self) -> dict[str, Any]:
        """Return all data that a resume needs besides the RunState, copied to the host."""
        ...

    def load(self, path: Path) -> dict[str, Any]:
        """Return the checkpoint at `path`. Raises CheckpointDamagedError unless `restore` can use it."""
        ...

    def restore(self, payload: Mapping[str, Any], state: RunState) -> None:
        """Restore the result of `snapshot`."""
        ...


@runtime_checkable
class TakesHistograms(Protocol):
    """A live state whose layers can be looked at."""

    def request_histogram(self, layer: str) -> str:
        """Take histograms of `layer` at the next step; return why that is impossible, or an empty string."""
        ...
