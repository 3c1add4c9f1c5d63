"""Texts of incidents."""

from __future__ import annotations

from collections.abc import Iterable

from cockpit.console.incident_text import what_of
from cockpit.session.incidents.incident import Incident
from cockpit.text.event_info import NOT_FINITE
from cockpit.text.format import escape_control, number
from engine.protocol import events as e
from engine.protocol.record import record
from engine.protocol.task_spec import TaskSpec

_FEW = 6
"""Modules that are named at most; the others are counted."""


@record
class IncidentText:
    """Printable texts of an incident: what, cause, where, evidence, remedy; empty string if unknown."""

    what: str
    where: str = ""
    evidence: str = ""
    remedy: str = ""
    cause: str = ""


def account(incident: Incident, spec: TaskSpec) -> IncidentText:
    """Return the texts of an incident from all its events."""
    what = what_of(incident)
    cause = incident.cause.text if incident.cause is not None else ""
    told = _not_finite(incident, spec) if incident.tally(NOT_FINITE) is not None else _newest(incident)
    return IncidentText(what, told.where, told.evidence, told.remedy, cause)


def _newest(incident: Incident) -> IncidentText:
    """Return the texts of the newest event."""
    match incident.entries[-1].event:
        case e.AlertRaised() as alert:
            return IncidentText(
                "", _places(incident) or _place(alert), escape_control(alert.message), escape_control(alert.remedy)
            )
        case e.SpikeDetected() as spike:
            height = f"{number(spike.score, 3)} deviations above {number(spike.centre)}"
            return IncidentText("", "", f"{number(spike.value)} at step {spike.at_step}, {height}")
        case e.RunFailed(error=error):
            return IncidentText("", "", escape_control(error), "the traceback is in the log; resume from a checkpoint")
        case _:
            return IncidentText("")


def _places(incident: Incident) -> str:
    """Return the modules by kind, if there are several: 'exploding module gate, unet; dead module shared'."""
    tallies = [tally for tally in incident.tallies if tally.places]
    if sum(len(tally.places) for tally in tallies) < 2:
        return ""
    return "; ".join(f"{escape_control(tally.kind)} {_listed(tally.places)}" for tally in tallies)


def _listed(names: Iterable[str]) -> str:
    shown = [escape_control(name) for name in names]
    more = len(shown) - _FEW
    return ", ".join(shown[:_FEW]) + (f" and {more} more" if more > 0 else "")


def _not_finite(incident: Incident, spec: TaskSpec) -> IncidentText:
    told = {type(entry.event): entry.event for entry in incident.entries if _is_of_step(entry.event)}
    skipped, fault, alert = told.get(e.StepSkipped), told.get(e.FaultNamed), told.get(e.AlertRaised)
    where = evidence = remedy = ""
    if isinstance(skipped, e.StepSkipped):
        where = ", ".join(
            [*(f"term {term}" for term in skipped.terms), *(f"module {part}" for part in skipped.modules)]
        )
        evidence = escape_control(skipped.reason)
    if isinstance(alert, e.AlertRaised):
        where = _place(alert) or where
        evidence, remedy = escape_control(alert.message), escape_control(alert.remedy)
    if isinstance(fault, e.FaultNamed):
        blame = (("operation", fault.operation), ("module", fault.module), ("term", fault.term))
        # If the replay names nothing, use what the skipped step reported.
        named = ", ".join(f"{word} {name}" for word, name in blame if name) or where
        how = ", ".join(said for said in (fault.direction, fault.verdict) if said and said not in evidence)
        where = f"{named} ({how})" if named and how else named or how
        where += f", {spec.component_noun} {fault.refinement}" if fault.refinement else ""
    where = escape_control(where)
    others = _places(incident)
    where = "" if where in evidence else where
    return IncidentText("", "; ".join(part for part in (where, others) if part), evidence, remedy)


def _is_of_step(event: e.Event) -> bool:
    """Return whether the event is about a non-finite step, not about its consequences."""
    return not isinstance(event, e.AlertRaised) or event.kind == "fault" or "finite" in event.kind


def _place(alert: e.AlertRaised) -> str:
    places = (("operation", alert.operation), ("module", alert.module), ("term", alert.term))
    return escape_control(", ".join(f"{word} {name}" for word, name in places if name))
