"""Following a run through its journal: what is new since the last look, and how the run stands now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cockpit.session.activity_text import ActivityText
from cockpit.session.incidents.incidents import Incident, Incidents
from cockpit.session.run_summary import Best, best_validation, chance_levels, last_terms
from engine.journal.disk.run_dir import CHECKPOINTS
from engine.journal.reader import Entry, JournalReader, Newest
from engine.protocol import events as e
from engine.protocol.state import RunState


@dataclass(frozen=True, slots=True)
class RunView:
    """How a run stands: times in seconds; `terms` are the newest raw loss terms, `chance` what guessing scores.

    `alert` is the newest incident of this process, `alerts` how many the run had in all.
    """

    state: RunState
    elapsed: float
    steps_per_second: float | None
    remaining: float | None
    pulse: str
    terms: Mapping[str, float]
    chance: Mapping[str, float]
    best: Best | None
    alert: Incident | None
    alerts: int = 0


@dataclass(frozen=True, slots=True)
class FollowerUpdate:
    """What one look at the journal brought."""

    entries: tuple[Entry, ...]
    view: RunView


class Follower:
    """Reads the journal of the run in `run_dir`, from the events after `after_event` on.

    A state equal to `stale` was left by an earlier process: the one that is followed has not spoken yet.
    """

    def __init__(self, run_dir: Path, *, clock: Callable[[], float], after_event: int = 0, stale: str = "") -> None:
        self.reader = JournalReader(run_dir)
        self._pulse = ActivityText(run_dir / CHECKPOINTS)
        self._clock = clock
        self._last_event = after_event
        self._shown_until = 0.0
        self._stale = stale
        self._newest: Newest | None = None
        self._opened_at = clock()
        self._terms: Mapping[str, float] = {}
        self._chance: Mapping[str, float] = {}
        self._best: Best | None = None
        self._incidents: Incidents | None = None

    def close(self) -> None:
        """Give the journal back."""
        self.reader.close()

    def look(self) -> FollowerUpdate | None:
        """What is new, or None before the run has said anything. Raises UserError when the journal cannot be read."""
        self._follow_file()
        state = self.reader.state()
        if state is None or repr(state) == self._stale:
            return None
        self._stale = ""
        now, newest = self._clock(), self.reader.newest_ids()
        entries = self._read_events(newest)
        self._read_metrics(newest, state)
        self._pulse.observe(state, now)
        return FollowerUpdate(tuple(entries), self._view(state, now))

    def _follow_file(self) -> None:
        """Read the journal that is in its place now; in one that was written from memory events have other numbers."""
        if not self.reader.is_replaced():
            return
        former, self.reader = self.reader, JournalReader(self.reader.path)
        former.close()
        if self.reader.newest_ids().event < self._last_event:
            shown = [entry.id for entry in self.reader.events() if entry.time <= self._shown_until]
            self._last_event = max(shown, default=0)

    def _read_events(self, newest: Newest) -> list[Entry]:
        if newest.event <= self._last_event:
            return []
        if self._incidents is None:
            self._incidents = Incidents()
            self._incidents.add(entry for entry in self.reader.events() if entry.id <= self._last_event)
        entries = self.reader.events(after_id=self._last_event)
        self._last_event = newest.event if not entries else entries[-1].id
        self._shown_until = entries[-1].time if entries else self._shown_until
        self._incidents.add(entries)
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

    def _view(self, state: RunState, now: float) -> RunView:
        incidents = self._incidents or Incidents()
        return RunView(
            state=state,
            elapsed=now - self._opened_at,
            steps_per_second=self._pulse.pace.steps_per_second(),
            remaining=self._pulse.pace.remaining(now, state.total_steps),
            pulse=self._pulse.text(state, now),
            terms=self._terms,
            chance=self._chance,
            best=self._best,
            alert=incidents.open[-1] if incidents.open else None,
            alerts=len(incidents),
        )
