"""A run that never trained: its journal written to a script, for what reads it to be held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from engine.journal.writer import JournalWriter
from engine.protocol.events import Activity, ActivityChanged, Event, RunStarted, Status, ValidationCompleted
from engine.protocol.evolve import evolve
from engine.tasks.person.spec import refinements_of
from tests.person_state import person_state

CHANCE = {"cross_entropy": 1.0986, "dice": 0.6667, "auxiliary": 0.6931, "boundary_aware": 1.3}
WEIGHTS = {"cross_entropy": 1.0, "dice": 0.5, "auxiliary": 0.3, "boundary_aware": 0.1}
STARTED = RunStarted(
    device="cpu", num_parameters=21_600_000, num_train_samples=400, num_val_samples=60, total_steps=1000
)


class FakeClock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


class ScriptedRun:
    """Writes the journal of a phase 1 run in `directory`; everything is on disk when a call returns."""

    def __init__(self, directory: Path, **fields: Any) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.journal = JournalWriter(directory)
        self.journal.start()
        start = person_state(
            run=directory.name,
            device="cpu",
            phase=1,
            refinements=refinements_of(1),
            total_steps=1000,
            lr=5e-6,
            loss_weights=MappingProxyType(WEIGHTS),
        )
        self.state = replace(start, **fields)

    def begin(self) -> None:
        """The state, the chance levels, and the event that training starts."""
        self.observe()
        self.journal.set_meta("chance_levels", CHANCE)
        self.note(STARTED)
        self.turn_to(Activity.RUNNING)

    def observe(self, **fields: Any) -> None:
        """Change measured fields of the state."""
        self.state = replace(self.state, **fields)
        self.journal.record_state(self.state)
        assert self.journal.flush()

    def note(self, event: Event, *, status: Status = Status.NOTED, reason: str = "", actor: str = "engine") -> None:
        """Something happened."""
        self.state = evolve(self.state, event, self.state.step)
        self.journal.record_state(self.state)
        self.journal.record_event(self.state.step, event, status=status, reason=reason, actor=actor)
        assert self.journal.flush()

    def turn_to(self, activity: Activity) -> None:
        """The engine turns to something else."""
        self.note(ActivityChanged(self.state.activity, activity))

    def train(self, step: int, loss: float = 1.5, norm: float = 0.5, terms: Mapping[str, float] | None = None) -> None:
        """The steps up to `step` were taken; the last one measured these."""
        raw = dict.fromkeys(CHANCE, 0.25) if terms is None else terms
        metrics = {"loss/total": loss, "grad_norm/total": norm, "lr": self.state.lr}
        metrics |= {f"loss_raw/{term}": value for term, value in raw.items()}
        self.journal.record_step(step, step / 100, tuple(metrics), tuple(metrics.values()))
        self.observe(step=step, epoch=step // 100, loss=loss, grad_norm=norm, samples_per_second=8.0)

    def validate(self, miou: float) -> None:
        """A validation was made."""
        self.journal.record_validation(self.state.step, self.state.step / 100, ("val/miou",), (miou,))
        self.note(ValidationCompleted(1.2, {"miou": miou}, 2.0))

    def close(self) -> None:
        """The process that trained has ended."""
        self.journal.close()
