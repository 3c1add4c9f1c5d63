"""The state of a run as the console shows it, taken from a `Session`."""

from __future__ import annotations

from collections.abc import Mapping

from cockpit.session.incidents.incident import Incident
from cockpit.session.run_summary import Best
from cockpit.session.session import Session
from engine.protocol.record import record
from engine.protocol.state import RunState


@record
class RunView:
    """The figures of the live panel: times in seconds; `terms` are the newest raw loss terms, `chance` their levels.

    `alert` is the open incident with the newest alert, `alerts` the number of all incidents of the run.
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


def view_of(session: Session, state: RunState) -> RunView:
    """Return the view of a session whose newest state is `state`."""
    return RunView(
        state=state,
        elapsed=session.elapsed,
        steps_per_second=session.steps_per_second,
        remaining=session.remaining,
        pulse=session.pulse,
        terms=newest_terms(session),
        chance=session.chance,
        best=session.best,
        alert=session.incidents.newest,
        alerts=len(session.incidents),
    )


def newest_terms(session: Session) -> dict[str, float]:
    """Return the raw loss terms of the newest step, without those that it did not compute."""
    history, last = session.history, session.history.last_step
    newest = {term: history.rows(f"loss_raw/{term}", last, last)[1] for term in session.spec.term_names}
    return {term: float(values[-1]) for term, values in newest.items() if values.size}
