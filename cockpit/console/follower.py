"""Following a run through its journal: what is new since the last look, and how the run stands now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from cockpit.console.pace import Pace
from cockpit.console.text import duration
from engine.journal.reader import Entry, JournalReader, Newest
from engine.protocol import events as e
from engine.protocol.events import Activity
from engine.protocol.names import LOSS_TERMS
from engine.protocol.state import RunState
from engine.runs import CHECKPOINTS

RAW_TERMS: Final = tuple(f"loss_raw/{term}" for term in LOSS_TERMS)
_TALLIED: Final = (e.AlertRaised, e.StepSkipped, e.CheckpointFailed, e.CheckpointDamaged, e.RolledBack, e.RunFailed)


@dataclass(frozen=True, slots=True)
class Best:
    """The best validation of the current lineage: mIoU in 0..1 and the step it was measured at."""

    miou: float
    step: int


@dataclass(frozen=True, slots=True)
class View:
    """How a run stands: times in seconds; `terms` are the newest raw loss terms, `chance` what guessing scores."""

    state: RunState
    elapsed: float
    steps_per_second: float | None
    remaining: float | None
    pulse: str
    terms: Mapping[str, float]
    chance: Mapping[str, float]
    best: Best | None
    alert: Entry | None


@dataclass(frozen=True, slots=True)
class News:
    """What one look at the journal brought."""

    entries: tuple[Entry, ...]
    view: View


class Follower:
    """Reads the journal of the run in `run_dir`, from the events after `after_event` on.

    A state equal to `stale` was left by an earlier process: the one that is followed has not spoken yet.
    """

    def __init__(self, run_dir: Path, *, clock: Callable[[], float], after_event: int = 0, stale: str = "") -> None:
        self.reader = JournalReader(run_dir)
        self._checkpoints = run_dir / CHECKPOINTS
        self._clock = clock
        self._last_event = after_event
        self._stale = stale
        self._newest: Newest | None = None
        self._pace = Pace()
        self._opened_at = self._since = self._moved_at = clock()
        self._activity: Activity | None = None
        self._first_step: int | None = None
        self._terms: Mapping[str, float] = {}
        self._chance: Mapping[str, float] = {}
        self._best: Best | None = None
        self._alert: Entry | None = None

    def close(self) -> None:
        """Give the journal back."""
        self.reader.close()

    def look(self) -> News | None:
        """What is new, or None before the run has said anything. Raises UserError when the journal cannot be read."""
        state = self.reader.state()
        if state is None or repr(state) == self._stale:
            return None
        self._stale = ""
        now, newest = self._clock(), self.reader.newest_ids()
        entries = self._read_events(newest)
        self._read_metrics(newest, state)
        self._measure(state, now)
        return News(tuple(entries), self._view(state, now))

    def _read_events(self, newest: Newest) -> list[Entry]:
        if newest.event <= self._last_event:
            return []
        entries = self.reader.events(after_id=self._last_event)
        self._last_event = newest.event if not entries else entries[-1].id
        self._alert = next((entry for entry in reversed(entries) if isinstance(entry.event, _TALLIED)), self._alert)
        if any(isinstance(entry.event, e.ValidationCompleted | e.RolledBack | e.RunStarted) for entry in entries):
            self._best = best_validation(self.reader)
        return entries

    def _read_metrics(self, newest: Newest, state: RunState) -> None:
        if not self._chance:
            self._chance = chance_levels(self.reader)
        if newest.step and (
            self._newest is None or (newest.branch, newest.step) != (self._newest.branch, self._newest.step)
        ):
            self._terms = last_terms(self.reader, first=newest.step)
        self._newest = newest

    def _measure(self, state: RunState, now: float) -> None:
        """Keep time: since when the run does what it does, since when the step counter stands, how fast it goes."""
        if state.activity is not self._activity:
            self._activity, self._since, self._moved_at = state.activity, now, now
        if self._first_step is None:
            self._first_step = state.step
        if self._pace.observe(now, state.step):
            self._moved_at = now
        if state.activity is Activity.PAUSED:
            self._pace.interrupt()

    def _view(self, state: RunState, now: float) -> View:
        return View(
            state=state,
            elapsed=now - self._opened_at,
            steps_per_second=self._pace.steps_per_second(),
            remaining=self._pace.remaining(now, state.total_steps),
            pulse=self._pulse(state, now),
            terms=self._terms,
            chance=self._chance,
            best=self._best,
            alert=self._alert,
        )

    def _pulse(self, state: RunState, now: float) -> str:
        """What the run is at, and for how long where that is worth saying: a slow step must not look frozen."""
        at_it = duration(now - self._since)
        match state.activity:
            case Activity.STARTING:
                return f"starting: opening the data and building the network, {at_it}"
            case Activity.RUNNING:
                return self._step_pulse(state, now)
            case Activity.VALIDATING:
                return f"validating, {at_it}"
            case Activity.PAUSED:
                return f"paused, {at_it}"
            case Activity.STOPPING:
                return f"stopping: the last checkpoint is written, {at_it}"
            case Activity.FINISHED | Activity.FAILED:
                return state.activity.value

    def _step_pulse(self, state: RunState, now: float) -> str:
        still = now - self._moved_at
        if state.step == self._first_step:
            return f"waiting for the first step, {duration(still)}"
        usual = 1 / (self._pace.steps_per_second() or 1.0)
        if still < max(2.0, 3 * usual):
            left = state.steps_until_pause
            return "running" if left is None else f"running {left} more steps, then pause"
        if any(self._checkpoints.glob("*.partial")):
            return f"writing a checkpoint, {duration(still)}"
        return f"step {state.step + 1} is under way, {duration(still)}"


def best_validation(reader: JournalReader) -> Best | None:
    """The highest validation mIoU of the current lineage, the first where several are equal."""
    series = reader.series(["val/miou"])
    values = np.where(series.present["val/miou"], series.values["val/miou"], np.nan)
    if np.isnan(values).all():
        return None
    at = int(np.nanargmax(values))
    return Best(float(values[at]), int(series.steps[at]))


def chance_levels(reader: JournalReader) -> dict[str, float]:
    """What an uninformed network scores in each loss term; empty before the run has computed it."""
    levels = reader.meta("chance_levels")
    if not isinstance(levels, dict):
        return {}
    return {term: float(value) for term, value in levels.items() if isinstance(value, int | float)}


def last_terms(reader: JournalReader, *, first: int) -> dict[str, float]:
    """The raw loss terms of the newest step from `first` on; terms that it did not compute are left out."""
    series = reader.series(RAW_TERMS, first=first)
    return {
        term: float(series.values[name][-1])
        for term, name in zip(LOSS_TERMS, RAW_TERMS, strict=True)
        if series.steps.size and series.present[name][-1]
    }
