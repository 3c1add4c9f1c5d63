"""The inputs of a run's charts from its session: marks, settings in force, horizontal axis, curves of other runs."""

from __future__ import annotations

from pathlib import Path

from cockpit.charts.annotations.marks import NO_MARKS, Marks, marks_of
from cockpit.charts.annotations.past import GRADIENT_BOUND, Past, past_of
from cockpit.charts.inputs import ChartInputs
from cockpit.charts.view import View
from cockpit.session.history.other_run import OtherRun
from cockpit.session.session import Session
from cockpit.ui.panels.charts.underlays import Underlays
from cockpit.ui.panels.charts.x_axis import XAxis


class ChartFeed:
    """Follows one session at a time; the curves of the run in the directory `baseline` are below its own."""

    def __init__(self, baseline: Path | None) -> None:
        self.session: Session | None = None
        self._marks, self._num_entries = NO_MARKS, 0
        self._past: Past = ()
        self._x_axis = XAxis()
        self._under = Underlays(baseline)

    def follow(self, session: Session) -> bool:
        """Take in the events of the session; return whether it is another one."""
        is_other = session is not self.session
        self.session = session
        if is_other or len(session.entries) != self._num_entries:
            self._num_entries = len(session.entries)
            self._marks = Marks.of(marks_of(session.entries, session.spec))
            self._past = past_of(session.entries, session.state)
        return is_other

    def inputs(self, view: View, *, recent: bool) -> ChartInputs | None:
        """Return the inputs of the charts; `None` before the first session."""
        session = self.session
        if session is None:
            return None
        parent = self._parent_of(session)
        return ChartInputs(
            session.history,
            view,
            self._marks,
            session.chance,
            session.state,
            recent,
            self._past,
            session.origin.gradient_bound or GRADIENT_BOUND,
            self._x_axis.of(session.run_dir, session.history.version, parent),
            self._under.of(parent, self._x_axis.kind),
        )

    def turn_axis(self, session: Session) -> str:
        """Go to the next horizontal axis, and return what to say about it."""
        left_out = self._x_axis.turn(session.run_dir, session.history.version, self._parent_of(session))
        return f"the charts go by {self._x_axis.kind}{'; the run has no epochs' if left_out else ''}"

    def turn_underlays(self) -> str:
        """Show or hide the curves of other runs, and return what to say about it; empty string if there are none."""
        return f"curves of other runs: {'on' if self._under.is_on else 'off'}" if self._under.turn() else ""

    def close(self) -> None:
        """Close the journals of the other runs."""
        self._under.close()

    def _parent_of(self, session: Session) -> tuple[OtherRun, int] | None:
        return self._under.parent_of(session.run_dir, session.origin.parent)
