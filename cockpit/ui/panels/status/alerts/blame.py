"""The components, terms and modules that an incident names, and the component that it blames."""

from __future__ import annotations

from collections.abc import Iterable

from cockpit.session.incidents.incident import Incident
from engine.protocol import events as e
from engine.protocol.events import Event
from engine.protocol.task_spec import TaskSpec


def blamed_component(incident: Incident, spec: TaskSpec) -> str:
    """Return the component that the incident blames; empty string for none. Named faults come first."""
    faults = [entry.event for entry in incident.entries if isinstance(entry.event, e.FaultNamed)]
    others = [entry.event for entry in incident.entries if not isinstance(entry.event, e.FaultNamed)]
    named = (_of_places(_places(event), spec) for event in (*reversed(faults), *reversed(others)))
    return next((name for name in named if name), "")


def named_places(incident: Incident) -> tuple[str, ...]:
    """Return the modules and terms that an incident names."""
    return tuple(place for tally in incident.tallies for place in tally.places)


def named_components(incident: Incident, spec: TaskSpec) -> tuple[str, ...]:
    """Return the components among the modules that an incident names."""
    return tuple(place for place in dict.fromkeys(named_places(incident)) if place in spec.component_names)


def _places(event: Event) -> tuple[str, ...]:
    """Return the components, terms, modules or metrics that an event names, the surest first."""
    match event:
        case e.FaultNamed(refinement=refinement, term=term, module=module):
            return refinement, term, module
        case e.AlertRaised(term=term, module=module):
            return term, module
        case e.StepSkipped(terms=terms, modules=modules):
            return *terms, *modules
        case e.SpikeDetected(metric=metric):
            return (metric.replace("/", "."),)
        case _:
            return ()


def _of_places(places: Iterable[str], spec: TaskSpec) -> str:
    """Return the component of the first place that is one, or that is one's loss term."""
    parts = [part for place in places for part in place.split(".")]
    named = (part if part in spec.component_names else spec.component_of(part) for part in parts)
    return next((name for name in named if name), "")
