"""One run as the screen sees it: journal follower, state, events, histories and pending commands."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from cockpit.session.activity.activity_text import OVER, ActivityText
from cockpit.session.activity.heartbeat import Heartbeat
from cockpit.session.following.event_feed import EventFeed
from cockpit.session.following.journal_file import JournalFile
from cockpit.session.following.troubles import Troubles
from cockpit.session.history.history import History
from cockpit.session.history.layers import LayerFeed
from cockpit.session.history.loader import HistoryLoader, RowLoader
from cockpit.session.incidents.incidents import Incidents
from cockpit.session.outbox import CommandOutcome, Outbox
from cockpit.session.run_summary import Best, Origin, best_of, recorded_best
from cockpit.session.update import SessionUpdate
from cockpit.text.format import duration
from cockpit.text.next_steps import End, end_of
from engine.errors import UserError
from engine.journal.disk.run_dir import CHECKPOINTS, StartWatch
from engine.journal.reader import Entry
from engine.journal.store import journal_file
from engine.journal.tail import JournalTail
from engine.protocol.state import RunState
from engine.protocol.task_spec import NO_SPEC, TaskSpec

BUSY_SECONDS: Final = 0.05
"""Seconds that a poll may wait for a locked journal; readers of a journal in WAL mode rarely wait."""

RETRY_SECONDS: Final = 0.5
"""Seconds until the next poll after one that failed."""

_HALF_MADE_SECONDS: Final = 5.0
"""Seconds after opening in which an unreadable journal counts as one that is being created."""

_STARTING: Final = "starting"


class Session(Outbox):
    """The run in `run_dir`, which need not exist yet. Poll it from one thread, up to ten times a second.

    `origin` is what the journal has of its newest start.
    `elapsed` and `remaining` are seconds; `heartbeat_age` is seconds since the writer's last heartbeat, None if none is
    expected. `notice` explains missing or outdated data, '' if there is none. `incidents` are the alerts by cause, with
    those acknowledged here. `troubles` are those of the last look. `layers` has the numbers of single layers. With
    `awaits_start` the journal is not read until a process continues the run: it describes the time before.
    With `recent_only` the history holds every validation but only the newest training steps.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        actor: str = "cockpit",
        can_steer: bool = True,
        awaits_start: bool = False,
        recent_only: bool = False,
    ) -> None:
        super().__init__(run_dir, actor=actor, can_steer=can_steer, clock=clock)
        self._start = StartWatch(run_dir) if awaits_start else None
        self.history = History()
        self.pulse = _STARTING
        self.steps_per_second: float | None = None
        self.remaining: float | None = None
        self.elapsed = 0.0
        self.heartbeat_age: float | None = None
        self._best_row: Best | None = None
        self.notice = _STARTING
        self._recent_only = recent_only
        self._open = partial(JournalTail, run_dir, busy_seconds=BUSY_SECONDS)
        self.layers = LayerFeed(self.history, self._open)
        self._life = Heartbeat(clock())
        self._journal = journal_file(run_dir)
        self._file = JournalFile(self._journal, self._open, self._life)
        self._opened_at = self._retry_at = clock()
        self.troubles = Troubles()
        self._forget()

    @property
    def has_begun(self) -> bool:
        """Return whether the journal is read; `False` while the start of a process is awaited."""
        return self._start is None or self._start.has_begun()

    @property
    def writer_has_left(self) -> bool:
        """Return whether the process that wrote the journal has ended; `False` for a silent one, and before any."""
        return self._life.has_left()

    @property
    def abandonment(self) -> str:
        """Return how the process left that wrote an unfinished run; empty string if it may go on, or has finished."""
        return self._life.abandonment() if self.state is not None and self.state.activity not in OVER else ""

    @property
    def refusal(self) -> str:
        """Reason why no command can be sent, also if the process is gone that would read it; empty string if none."""
        gone = f"the run {self.run_dir.name!r} is not running, so no process would read the command"
        return super().refusal or (gone if self.abandonment else "")

    @property
    def entries(self) -> Sequence[Entry]:
        """Return every event so far, oldest first."""
        return self._entries

    @property
    def best(self) -> Best | None:
        """Return the best validation; `None` before the first."""
        return recorded_best(self.state) or self._best_row

    @property
    def end(self) -> End | None:
        """End of the run; `None` while it continues."""
        return None if self.state is None else end_of(self.state, self._entries)

    def poll(self) -> SessionUpdate:
        """Read what is new in the journal; cheap if nothing is. `notice` says why a journal cannot be read."""
        now, before = self._clock(), (self.pulse, self.notice, _shown_age(self.heartbeat_age))
        update = self._look(now) if now >= self._retry_at else SessionUpdate()
        self._measure(now)
        answers = (*update.answers, *self._retry())
        if self._life.is_gone:
            answers = (*answers, *self._abandon("the run's process is gone"))
        later = before != (self.pulse, self.notice, _shown_age(self.heartbeat_age))
        return replace(update, answers=answers, time=later) if answers or later else update

    def close(self) -> None:
        """Close the journal."""
        self._loader.close()
        self.layers.close()
        self._close_sender()
        self._file.close()

    def _forget(self) -> None:
        """Reset everything that was read: the journal is another file, or was never read."""
        self.state: RunState | None = None
        self.spec: TaskSpec = NO_SPEC
        self.chance: Mapping[str, float] = {}
        self.origin = Origin()
        self.incidents = Incidents()
        self._entries: list[Entry] = []
        self._version = -1
        self._history_version = self.history.version
        self._watch = ActivityText(self.run_dir / CHECKPOINTS)
        self._events = EventFeed(self.run_dir, self.troubles)
        self._loader = self._new_loader()

    def _new_loader(self) -> RowLoader:
        """Return a reader of the journal's rows, from their first on."""
        return HistoryLoader(self.history, self._open, recent_only=self._recent_only)

    def _look(self, now: float) -> SessionUpdate:
        self.troubles.clear()
        if not self.has_begun:
            return SessionUpdate()
        try:
            lost = self._follow_file(now)
            update = self._news(now)
        except UserError as error:
            update, lost = SessionUpdate(), ()
            is_new = now - self._opened_at < _HALF_MADE_SECONDS
            if self.state is not None or (self._journal.exists() and not is_new):
                self.troubles.add(error)
        if self.troubles.found:
            self._version = -1
            self._retry_at = now + RETRY_SECONDS if self.state is not None else now
        if self._loader.failure:
            self.troubles.add_plain("the steps before these cannot be read", detail=self._loader.failure)
        quiet = "" if self.state is not None else _STARTING
        self.notice = self.troubles.found[0] if self.troubles.found else quiet
        return replace(update, answers=(*lost, *update.answers)) if lost else update

    def _follow_file(self, now: float) -> tuple[CommandOutcome, ...]:
        """Open the file that is in the journal's place now: a restored one, or that of a new run of the same name.

        Return refusals of the commands in a file that is gone.
        """
        if not self._file.is_replaced(now):
            return ()
        self._file.open()
        self.layers.reopen()
        if self._file.is_same_run():
            self._version = -1
            return ()
        self._loader.close()
        self._close_sender()
        self._forget()
        return self._abandon("the journal was replaced")

    def _news(self, now: float) -> SessionUpdate:
        tail = self._file.tail
        assert tail is not None
        self.layers.look()
        version = tail.version()
        if version == self._version and not (self._events.behind or self._loader.behind):
            return SessionUpdate(steps=self._grown())
        update = self._read_events(tail, now)
        rewound = self._read_rows(tail)
        self._version = version
        return replace(update, steps=self._grown(), rewound=rewound)

    def _read_events(self, tail: JournalTail, now: float) -> SessionUpdate:
        found = self._events.look(tail)
        self._life.observe(found.session, now)
        self._watch.note(found.entries, now)
        self._entries.extend(found.entries)
        self.state = self._events.state
        self.spec = self._events.spec
        self.chance = self._events.chance
        self.origin = self._events.origin
        if found.has_spec:
            self._history_version = -1  # the best score is another, too
        began = self.incidents.add(found.entries)
        answers = self._match(found.entries)
        return SessionUpdate(state=found.has_state, entries=found.entries, answers=answers, began=began)

    def _read_rows(self, tail: JournalTail) -> bool:
        """Read new rows and return whether the run was rewound; unreadable rows do not hide the events."""
        try:
            with tail.snapshot():
                return self._loader.look(tail)
        except UserError as error:
            self.troubles.add(error)
            return False

    def _grown(self) -> bool:
        """Return whether the histories have changed since the last poll, and update the best score."""
        if self.history.version == self._history_version:
            return False
        self._history_version = self.history.version
        rows = self.history.rows(f"val/{self.spec.score}", -(2**62), 2**62)
        self._best_row = best_of(*rows, lower_is_better=self.spec.lower_is_better)
        return True

    def _measure(self, now: float) -> None:
        """Update activity text, pace and heartbeat from the clock."""
        over = self.state is not None and self.state.activity in OVER
        lifeless = "" if self.state is None or over else self._life.complaint(now)
        self.elapsed, self.heartbeat_age = self._life.elapsed(now), self._life.age()
        if self.state is None:
            self.pulse = f"{_STARTING}, {duration(self.elapsed)}"
            return
        self._watch.observe(self.state, now, silent=bool(lifeless))
        self.pulse = lifeless or self._watch.text(self.state, now)
        self.steps_per_second = self._watch.pace.steps_per_second()
        self.remaining = self._watch.pace.remaining(now, self.state.total_steps)


def _shown_age(seconds: float | None) -> int:
    """Return the heartbeat's age as a screen shows it, 0 while it is fresh: that it beats is no update."""
    return 0 if seconds is None or seconds < 3 else int(seconds)
