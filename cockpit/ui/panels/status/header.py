"""The header: run, activity, progress, pace and measurements."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import ClassVar, Final

from textual.content import Content

from cockpit.console.reporting.live_panel import phase_title
from cockpit.session.activity.activity_text import OVER
from cockpit.session.session import Session
from cockpit.session.update import SessionUpdate
from cockpit.text.format import counted, duration, escape_control
from cockpit.ui.panels.status.measures import measures, pace, waiting
from cockpit.ui.panels.toolkit.line_panel import LinePanel
from cockpit.ui.panels.toolkit.line_parts import LinePart, flow, part
from cockpit.ui.panels.toolkit.symbols import ACTIVE, BAD, FAINT, GOOD, LABEL, STRONG, WARN, bar
from engine.protocol.events import Activity
from engine.protocol.state import RunState

STALE_SECONDS: Final = 5.0
"""Seconds without a heartbeat of the writer before the header shows it; the writer beats about once a second."""
_FULL_WIDTH: Final = 76
"""Cells inside 80 columns: from this width on each group has one line, below it wraps."""
_MIN_BAR, _MAX_BAR = 8, 60
_MAX_NAME: Final = 30

_STYLES: Final = {
    Activity.RUNNING: f"bold {GOOD}",
    Activity.VALIDATING: f"bold {ACTIVE}",
    Activity.STARTING: f"bold {ACTIVE}",
    Activity.PAUSED: f"bold {WARN}",
    Activity.STOPPING: f"bold {WARN}",
    Activity.FINISHED: f"bold {GOOD}",
    Activity.FAILED: BAD,
}


class Header(LinePanel):
    """The run at a glance. `reduced_motion` stops the heart's animation; a missing heartbeat is still shown."""

    TITLE: ClassVar[str] = "Run"
    DEFAULT_CSS = """
    Header {
        padding: 0 1;
        background: $panel;
        color: $foreground;
    }
    """

    def __init__(self, *, marker: str = "braille", reduced_motion: bool = False, id: str | None = None) -> None:
        super().__init__(marker=marker, id=id)
        self._session: Session | None = None
        self._reduced_motion = reduced_motion
        self._num_beats = 0
        self._last_beat = -math.inf

    def apply_update(self, session: Session, update: SessionUpdate) -> None:
        """Show the present state of the run."""
        self._session = session
        age = session.heartbeat_age
        if age is not None and session.elapsed - age > self._last_beat + 0.2:
            self._last_beat = session.elapsed - age
            self._num_beats += 1
        self.repaint()

    def lines(self, width: int) -> list[Content]:
        """Return three lines from 80 columns on: activity, progress, measurements."""
        session = self._session
        if session is None or session.state is None:
            return flow(self._beginning(session), width, 3)
        state = session.state
        soon = session.soon.state
        most = 1 if width >= _FULL_WIDTH else 3
        return [
            *flow(self._identity(session, state, soon), width, most),
            self._progress(session, state, width),
            *flow(measures(session, state, soon, width, self.signs.dots), width, most),
        ]

    def _beginning(self, session: Session | None) -> Iterable[LinePart]:
        """Yield the parts of a run without a journal."""
        sign = self.signs.activities[Activity.STARTING]
        yield part("", f"{sign} starting", _STYLES[Activity.STARTING])
        if session is None:
            return
        yield part("", escape_control(session.run_dir.name))
        yield part("", escape_control(session.pulse.removeprefix("starting, ")), LABEL)
        if session.notice not in ("", "starting"):
            yield part("", escape_control(session.notice), BAD)

    def _identity(self, session: Session, state: RunState, soon: RunState) -> Iterable[LinePart]:
        name = escape_control(state.run)
        yield part("", name if len(name) <= _MAX_NAME else name[: _MAX_NAME - 1] + self.signs.dots[:1])
        if state.activity not in OVER and not session.abandonment:
            yield self._heart(session)
        yield self._activity(session, state, soon)
        if session.notice:
            yield part("", escape_control(session.notice), BAD)
        if not session.can_steer:
            yield part("", "read-only", LABEL, rank=3)
        if session.origin.parent is not None:
            yield part("", escape_control(session.origin.parent.said), LABEL, rank=3)
        if soon.phase != state.phase:
            yield LinePart(waiting(f"phase {state.phase} ", str(soon.phase), self.signs.dots))
        elif len(state.spec.phases) > 1:
            yield part("phase", str(state.phase), rank=1)
            yield part("", phase_title(state).partition(" ")[2], LABEL, rank=3)
        if state.spec.knows_data:
            yield part("epoch", str(state.epoch + 1), rank=2)
        yield part("on", escape_control(state.device) or "-", LABEL, rank=4)
        policies = (("guardian", state.guardian, soon.guardian), ("autopilot", state.autopilot, soon.autopilot))
        for word, now, then in (policy for policy in policies if policy[1] is not policy[2]):
            yield LinePart(waiting(f"{word} {_switch(now)} ", _switch(then), self.signs.dots), 3)

    def _activity(self, session: Session, state: RunState, soon: RunState) -> LinePart:
        """Return the activity as a sign and a word, its duration and the pending activity; or the run's end."""
        end = session.end
        if end is not None and end.word == "stopped":
            return part("", f"{self.signs.activities[Activity.STOPPING]} {end.word}", _STYLES[Activity.STOPPING])
        if session.abandonment:
            return part("", f"{self.signs.activities[Activity.FAILED]} {session.abandonment}", BAD)
        word = state.activity.value
        style = _STYLES[state.activity]
        text = Content.styled(f"{self.signs.activities[state.activity]} {word}", style)
        said = escape_control(session.pulse)
        if said not in ("", word):
            text += Content.styled(said.removeprefix(word) if said.startswith(word) else f"  {said}", style)
        if soon.activity is not state.activity:
            text += waiting(" ", soon.activity.value, self.signs.dots)
        return LinePart(text)

    def _heart(self, session: Session) -> LinePart:
        """Return the heartbeat of the journal's writer, or for how long it is missing."""
        age = session.heartbeat_age
        if age is None:
            return part("", "")
        if age >= STALE_SECONDS:
            return part("", f"{self.signs.silent} silent for {duration(age)}", BAD)
        beat = self.signs.beats[0 if self._reduced_motion else self._num_beats % len(self.signs.beats)]
        return part("", beat, GOOD)

    def _progress(self, session: Session, state: RunState, width: int) -> Content:
        """Return the progress bar with the pace; the bar gets narrow first, then times are left out."""
        done, said = _steps(session, state)
        known = list(pace(session, state))
        room = width - said.cell_length - 4 - _MIN_BAR
        (pace_text, *_) = flow(known, room, 1) if room >= _MIN_BAR else [Content()]
        length = min(width - said.cell_length - pace_text.cell_length - (3 if pace_text else 1), _MAX_BAR)
        full, empty = bar(done, length, self.signs)
        gap = "  " if pace_text else ""
        return Content.assemble((full, GOOD), (empty, FAINT), " " if length > 0 else "", said, gap, pace_text)


def _steps(session: Session, state: RunState) -> tuple[float, Content]:
    """Return the share of the steps that are done and its text; a program may not have said how many there will be."""
    if state.total_steps:
        done = state.step / state.total_steps
        return done, Content.assemble((f"{state.step}/{state.total_steps}", STRONG), (f" {100 * done:.1f} %", LABEL))
    if (end := session.end) is not None:
        return 1.0 if end.word == "finished" else math.nan, Content.styled(counted(state.step, "step"), STRONG)
    return math.nan, Content.styled(f"{state.step}/-", STRONG)


def _switch(on: bool) -> str:
    return "on" if on else "off"
