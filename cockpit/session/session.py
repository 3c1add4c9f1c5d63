"""One run as a screen knows it: its journal followed, its state, events and histories, the commands on their way."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from cockpit.console.follower import Best, best_validation, chance_levels
from cockpit.session.history import History
from cockpit.session.pulse import Pulse
from engine.errors import UserError
from engine.journal.reader import Entry, JournalReader
from engine.journal.sender import send
from engine.journal.sessions import Session as Writer
from engine.protocol.commands import Command
from engine.protocol.events import Activity, Status
from engine.protocol.rules import Outcome, decide, refused
from engine.protocol.state import RunState
from engine.runs import CHECKPOINTS


@dataclass(frozen=True, slots=True)
class Pending:
    """A command that was sent and not answered yet; `sent_at` by the session's clock, in seconds."""

    id: int
    command: Command
    sent_at: float


@dataclass(frozen=True, slots=True)
class Answer:
    """How a command of this screen ended: the entry carries the status and the reason."""

    pending: Pending
    entry: Entry


@dataclass(frozen=True, slots=True)
class News:
    """What one poll brought; falsy when nothing changed. `time`: the pulse or the heartbeat reads differently now.

    `rewound`: a rollback or a resume opened a branch, the histories were cut.
    """

    state: bool = False
    steps: bool = False
    entries: tuple[Entry, ...] = ()
    answers: tuple[Answer, ...] = ()
    time: bool = False
    rewound: bool = False

    def __bool__(self) -> bool:
        return bool(self.state or self.steps or self.entries or self.answers or self.time or self.rewound)


EVERYTHING: Final = News(state=True, steps=True, time=True, rewound=True)
"""For a panel that comes back on screen: look at all of it again."""


class Session:
    """The run in `run_dir`, which need not exist yet. Poll it about ten times a second from one thread."""

    def __init__(
        self,
        run_dir: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        actor: str = "cockpit",
        can_steer: bool = True,
    ) -> None:
        self.run_dir = run_dir
        self.can_steer = can_steer
        self.state: RunState | None = None
        self.entries: Sequence[Entry] = []
        self.history = History()
        self.chance: Mapping[str, float] = {}
        self.pending: tuple[Pending, ...] = ()
        self.pulse = "starting"
        self.steps_per_second: float | None = None
        self.remaining: float | None = None
        self.elapsed = 0.0
        self.heartbeat_age: float | None = None
        self.best: Best | None = None
        self.notice = "starting"
        self._clock = clock
        self._actor = actor
        self._opened_at = clock()
        self._reader: JournalReader | None = None
        self._watch = Pulse(run_dir / CHECKPOINTS)
        self._writer: Writer | None = None
        self._lineage: tuple[tuple[int, int | None], ...] = ()
        self._last_row = (0, 0)
        self._last_event = 0

    def poll(self) -> News:
        """One look at the journal; cheap when nothing is new. A journal that cannot be read is told by `notice`."""
        try:
            news = self._look()
        except UserError as error:
            news, notice = News(), "starting" if self._reader is None and self.state is None else str(error)
        else:
            notice = "" if self.state is not None else "starting"
        if notice != self.notice:
            news, self.notice = replace(news, time=True), notice
        return self._timed(news)

    def decide(self, command: Command) -> Outcome:
        """What the rule book says to `command` on the newest state."""
        if not self.can_steer:
            return refused("this screen only watches")
        if self.state is None:
            return refused("the run has not said anything yet")
        return decide(self.state, command)

    def send(self, command: Command) -> Outcome:
        """Send `command` unless it is refused; it is pending until its answer arrives. Returns what is foretold."""
        outcome = self.decide(command)
        if outcome.status is Status.REFUSED:
            return outcome
        try:
            number = send(self.run_dir, command, self._actor)
        except UserError as error:
            return refused(str(error))
        self.pending = (*self.pending, Pending(number, command, self._clock()))
        return outcome

    def close(self) -> None:
        """Give the journal back."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _look(self) -> News:
        if self._reader is None:
            self._reader = JournalReader(self.run_dir)
        reader = self._reader
        state, newest = reader.state(), reader.newest_ids()
        changed, self.state = state != self.state, state
        self._writer = reader.heartbeat()
        self.chance = self.chance or chance_levels(reader)
        entries = self._read_events(reader, newest.event)
        rewound = self._rewound(reader)
        steps = rewound or (newest.branch, newest.step) != self._last_row or bool(entries)
        if steps:
            self._last_row = (newest.branch, newest.step)
            self._read_metrics(reader)
        return News(changed, steps, entries, self._answers(entries), False, rewound)

    def _read_events(self, reader: JournalReader, newest: int) -> tuple[Entry, ...]:
        if newest <= self._last_event:
            return ()
        entries = tuple(reader.events(after_id=self._last_event))
        self._last_event = newest
        self.entries = [*self.entries, *entries]
        return entries

    def _rewound(self, reader: JournalReader) -> bool:
        lineage, before = reader.lineage(), self._lineage
        self._lineage = lineage
        return bool(before) and lineage != before

    def _read_metrics(self, reader: JournalReader) -> None:
        names = reader.metric_names()
        series = reader.series(names)
        training = [name for name in names if not name.startswith("val/")]
        steps = series.steps
        if training:
            steps = steps[series.present[training[0]]]
        first, last = (int(steps[0]), int(steps[-1])) if steps.size else (0, 0)
        self.history.replace(names, series, first_step=first, last_step=last)
        self.best = best_validation(reader)

    def _answers(self, entries: Sequence[Entry]) -> tuple[Answer, ...]:
        open_ones = {pending.id: pending for pending in self.pending}
        answers = tuple(
            Answer(open_ones[entry.command_id], entry)
            for entry in entries
            if entry.command_id in open_ones and entry.status is not Status.NOTED
        )
        answered = {answer.pending.id for answer in answers}
        self.pending = tuple(pending for pending in self.pending if pending.id not in answered)
        return answers

    def _timed(self, news: News) -> News:
        """Let the clock tell: pulse, pace, heartbeat."""
        now, before = self._clock(), (self.pulse, self._beat())
        self.elapsed = now - self._opened_at
        if self._writer is not None:
            self.heartbeat_age = None if self._writer.ended else self._writer.age
        if self.state is None:
            self.pulse = f"starting, {int(self.elapsed)} s"
        else:
            self._watch.observe(self.state, now)
            self.pulse = self._watch.text(self.state, now)
            self.steps_per_second = self._watch.pace.steps_per_second()
            over = self.state.activity in (Activity.FINISHED, Activity.FAILED)
            self.remaining = None if over else self._watch.pace.remaining(now, self.state.total_steps)
        return replace(news, time=True) if before != (self.pulse, self._beat()) else news

    def _beat(self) -> int | None:
        return None if self.heartbeat_age is None else int(self.heartbeat_age)
