"""What can be done about an alert: SEED.md's remedies as commands, in its order."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from engine.journal.reader import Entry
from engine.protocol import commands as c
from engine.protocol.commands import Command
from engine.protocol.events import AlertRaised, FaultNamed
from engine.protocol.names import REFINEMENT_OF_TERM, REFINEMENTS
from engine.protocol.state import RunState

VERY_LOW_LR: Final = 1e-6
"""SEED.md's learning rate for a run that is still unstable."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """One way out: in words, and the command; `why_not` where there is none."""

    label: str
    command: Command | None
    why_not: str = ""


def newest_alert(entries: Sequence[Entry], acknowledged: Collection[int] = ()) -> Entry | None:
    """The newest alert whose entry id is not in `acknowledged`; None where all are, or there was none."""
    return next(
        (
            entry
            for entry in reversed(entries)
            if isinstance(entry.event, AlertRaised | FaultNamed) and entry.id not in acknowledged
        ),
        None,
    )


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
    event = alert.event
    if isinstance(event, FaultNamed):
        return _of_place(event.refinement, event.term, event.module)
    if not isinstance(event, AlertRaised):
        return ""
    named = _of_place("", event.term, event.module)
    if named or not event.at_step:
        return named
    faults = (entry.event for entry in reversed(entries) if isinstance(entry.event, FaultNamed))
    fault = next((fault for fault in faults if fault.at_step == event.at_step), None)
    return _of_place(fault.refinement, fault.term, fault.module) if fault else ""


def _of_place(refinement: str, term: str, module: str) -> str:
    if refinement in REFINEMENTS:
        return refinement
    if term in REFINEMENT_OF_TERM:
        return REFINEMENT_OF_TERM[term]
    return next((part for part in module.split(".") if part in REFINEMENTS), "")
