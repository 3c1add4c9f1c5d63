"""Format an incident as one line: its kinds of alert, their counts, and its likely cause."""

from __future__ import annotations

from cockpit.session.incidents.incident import Incident, Tally
from cockpit.text.event_info import NOT_FINITE
from cockpit.text.event_text import sentence
from cockpit.text.format import escape_control
from engine.protocol import events as e
from engine.protocol.task_spec import NO_SPEC


def incident_line(incident: Incident) -> str:
    """Return the incident and its likely cause as one printable line."""
    cause = f"; likely cause: {incident.cause.text}" if incident.cause is not None else ""
    return f"{what_of(incident)}{cause}"


def what_of(incident: Incident) -> str:
    """Return the incident without its cause: 'steps 31-44 were not finite; 3 x dead module'."""
    in_order = sorted(incident.tallies, key=lambda tally: (tally.kind != NOT_FINITE, tally.first_step))
    return "; ".join(_phrase(incident, tally) for tally in in_order)


def _phrase(incident: Incident, tally: Tally) -> str:
    """Return the phrase of one kind of alert."""
    if tally.kind == NOT_FINITE:
        return _span(tally)
    if tally.kind.startswith("spike "):
        metric = escape_control(tally.kind.removeprefix("spike "))
        return f"{metric} spiked" + (f" {tally.count} times" if tally.count > 1 else "")
    if len(tally.places) > 1:
        return f"{len(tally.places)} x {escape_control(tally.kind)}"
    return _newest_phrase(incident, tally)


def _span(tally: Tally) -> str:
    first, last = tally.first_step, tally.last_step
    return f"step {first} was not finite" if first == last else f"steps {first}-{last} were not finite"


def _newest_phrase(incident: Incident, tally: Tally) -> str:
    """Return the phrase of a kind from its newest event."""
    event = next(entry.event for entry in reversed(incident.entries) if _tells(entry.event, tally.kind))
    match event:
        case e.AlertRaised(kind=kind):
            return escape_control(kind)
        case e.RunFailed():
            return "the run failed"
        case _:
            return sentence(event, NO_SPEC)  # such events name no metric and no component


def _tells(event: e.Event, kind: str) -> bool:
    return event.kind == kind if isinstance(event, e.AlertRaised) else type(event).__name__ == kind
