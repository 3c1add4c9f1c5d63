"""What the callback of every trainer offers to the user's program."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.adapters.run.knobs import KnobHandle, Value
from engine.adapters.trainers.trainer_run import TrainerRun


class CallbackMembers:
    """Members of a callback that records its training in `cockpit`."""

    cockpit: TrainerRun

    def knob(
        self,
        name: str,
        value: Value,
        low: float | None = None,
        high: float | None = None,
        *,
        choices: Sequence[str] = (),
    ) -> KnobHandle[Value]:
        """Return a live value: call it to read it. It can be set from the screen, within `low`..`high` or `choices`.

        A bool makes a toggle. Raises UserError for bounds that exclude `value`.
        """
        return self.cockpit.knobs.make(name, value, low, high, choices)

    @property
    def directory(self) -> Path:
        """The directory of the run. Raises UserError before the training begins."""
        return self.cockpit.run.directory
