"""The signals of a scheduler that a run reacts to."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Final

USER_SIGNALS: Final = (signal.SIGUSR1, signal.SIGUSR2)
"""The signals that schedulers send on request, which mean nothing by themselves."""


@dataclass(frozen=True, slots=True)
class Reactions:
    """The numbers of the signals that mean something to a run, 0 for none, and the exit code for the scheduler.

    `checkpoint` writes a checkpoint and training goes on. `requeue` ends the run with `requeue_code`, as the time limit
    does.
    """

    checkpoint: int = signal.SIGUSR1
    requeue: int = signal.SIGUSR2
    requeue_code: int = 85

    def means_nothing(self, number: int) -> bool:
        """Return whether signal `number` is a user's signal without a meaning."""
        return number in USER_SIGNALS and number not in (self.checkpoint, self.requeue)
