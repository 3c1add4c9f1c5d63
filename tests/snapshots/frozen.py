"""A frozen session: a recorded run at one moment, the same on every machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cockpit.session.outbox import Pending
from cockpit.session.session import Session
from cockpit.session.update import FULL_UPDATE, SessionUpdate
from engine.protocol.commands import Command
from engine.protocol.decide import Outcome
from engine.protocol.events import Activity, Status


class FrozenSession(Session):
    """Reads the journal once; after that time does not pass. Commands are taken and never answered."""

    def __init__(self, run_dir: Path, **given: Any) -> None:
        self.num_polls = 0
        super().__init__(run_dir, clock=lambda: 1000.0, **given)
        update = super().poll()
        while update and (self.history.loading < 1.0 or update.steps or update.entries):
            update = super().poll()
        if self.state is not None and self.state.activity is Activity.RUNNING:
            self.pulse = "running"
        self.elapsed = 754.0
        self.heartbeat_age = None if self.state is None else 0.0
        self.steps_per_second = 2.0
        self.remaining = 300.0

    def poll(self) -> SessionUpdate:
        """Everything at the first look, nothing after it."""
        self.num_polls += 1
        return FULL_UPDATE if self.num_polls == 1 else SessionUpdate()

    def send(self, command: Command) -> Outcome:
        """Pending for ever."""
        outcome = self.decide(command)
        if outcome.status is not Status.REFUSED:
            number = len(self.pending) + 1
            self.pending = (*self.pending, Pending(number, command, 1000.0))
        return outcome


class StillTraining:
    """A training in this process that neither moves nor ends."""

    def start(self) -> None:
        """It would begin."""

    def stop(self, *signals: int) -> None:
        """It would stop."""

    def ending(self) -> None:
        """It goes on."""
