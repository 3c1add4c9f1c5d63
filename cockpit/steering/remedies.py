"""What can be done about an alert: SEED.md's remedies as commands, in its order."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from cockpit.widgets.banner_incidents import Incidents
from engine.journal.reader import Entry
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.commands import Command
from engine.protocol.events import Event
from engine.protocol.names import REFINEMENT_OF_TERM, REFINEMENTS
from engine.protocol.state import RunState

VERY_LOW_LR: Final = 1e-6
"""SEED.md's learning rate for a run that is still unstable."""

_KNOWN: Final = frozenset((*REFINEMENTS, *REFINEMENT_OF_TERM))


@dataclass(frozen=True, slots=True)
class Remedy:
    """One way out: in words, and the command; `why_not` where there is none."""

    label: str
    command: Command | None
    why_not: str = ""


def newest_alert(entries: Sequence[Entry], acknowledged: Collection[int] = ()) -> Entry | None:
    """The newest event of the newest trouble that nobody acknowledged, folded as the banner folds them.

    A trouble was acknowledged when its newest event's id is in `acknowledged`: one that goes on is open again.
    """
    incidents = Incidents()
    incidents.add(entries)
    newest = (incident.entries[-1] for incident in reversed(incidents.open))
    return next((entry for entry in newest if entry.id not in acknowledged), None)


def remedies_of(alert: Entry, entries: Sequence[Entry], state: RunState) -> tuple[Remedy, ...]:
    """The five remedies for `alert`, each as the command that would be sent now."""
    name = blamed_refinement(alert, entries)
    return (
        Remedy("LR to 1e-6", c.SetLr(VERY_LOW_LR)),
        Remedy("accumulation x2", c.SetAccumulation(state.accumulation * 2)),
        Remedy("Adam, not AdamW", c.SetOptimizer("adam")),
        Remedy(f"switch off {name}", c.DisableRefinement(name))
        if name
        else Remedy("switch off the refinement", None, "the alert names no refinement"),
        Remedy("roll back to last good", c.Rollback()),
    )


def blamed_refinement(alert: Entry, entries: Sequence[Entry]) -> str:
    """The refinement that the alert, or the fault named for the same step, points at; '' for none."""
    named = _of_places(_places(alert.event))
    step = alert.event.at_step if isinstance(alert.event, e.AlertRaised | e.SpikeDetected) else alert.step
    if named or not step:
        return named
    faults = (entry.event for entry in reversed(entries) if isinstance(entry.event, e.FaultNamed))
    fault = next((fault for fault in faults if fault.at_step == step), None)
    return _of_places(_places(fault)) if fault else ""


def _places(event: Event) -> tuple[str, ...]:
    """Names of refinements, terms, modules or metrics that an event speaks of, the surest first."""
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


def _of_places(places: Iterable[str]) -> str:
    parts = [part for place in places for part in place.split(".")]
    return next((REFINEMENT_OF_TERM.get(part, part) for part in parts if part in _KNOWN), "")
