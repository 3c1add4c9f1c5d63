"""Undo the last intervention of a person: find it, name it, and return the command that reverses it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from cockpit.text.command_text import title
from cockpit.text.event_text import sentence
from cockpit.text.format import escape_control, number
from engine.journal.reader import Entry
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.commands import Command
from engine.protocol.events import Event, Status

_PASSED_OVER: Final = (
    e.Paused,
    e.Resumed,
    e.StepsGranted,
    e.CheckpointRequested,
    e.CheckpointSaved,
    e.ValidationRequested,
    e.ValidationCompleted,
    e.NoteAdded,
)
"""What a person did that changed nothing in how the run trains: there is nothing in it to take back."""

MACHINES: Final = frozenset({"engine", "guardian", "autopilot", "script", "signal"})
"""Actors that are no person: what they did is not for `undo`, only for whoever reads the events."""


@dataclass(frozen=True, slots=True)
class Undo:
    """The intervention that is taken back, and the command that does it; `caution` says what does not come back."""

    entry: Entry
    command: Command
    caution: str = ""


@dataclass(frozen=True, slots=True)
class NoUndo:
    """Why nothing is taken back; `entry` is the intervention that stands in the way, None where there is none."""

    reason: str
    entry: Entry | None = None


def plan_undo(entries: Sequence[Entry], *, undone_by: Collection[int], passed: Collection[int] = ()) -> Undo | NoUndo:
    """What undo would take back next.

    `entries` are all events, oldest first; `undone_by` the numbers of the commands that were undos themselves: each
    stands for one older intervention that is gone already. Entries in `passed` (their ids) are left as they are.
    """
    num_undone = 0
    for entry in reversed(entries):
        if not is_intervention(entry) or entry.id in passed:
            continue
        if entry.command_id in undone_by:
            num_undone += 1
        elif num_undone and not isinstance(_inverse(entry.event), str):
            num_undone -= 1
        elif not num_undone:
            return _undo_of(entry)
    return NoUndo("nothing is left to take back" if passed or undone_by else "no change by hand to take back yet")


def is_intervention(entry: Entry) -> bool:
    """Whether a person changed the run by this: the answer to a command that was not refused."""
    is_answer = entry.status in (Status.APPLIED, Status.CLAMPED) and entry.actor not in MACHINES
    return is_answer and not isinstance(entry.event, _PASSED_OVER) and not _changed_nothing(entry.event)


def _changed_nothing(event: Event) -> bool:
    before = getattr(event, "before", None)
    return before is not None and before == getattr(event, "after", None)


def named(event: Event) -> str:
    """What was done, as an imperative: 'lower LR', 'switch on contour_detection', 'weight of dice to 0.9'."""
    match event:
        case e.LrScaled(before=before, after=after):
            return title(c.ScaleLr(after / before))
        case e.LrSet(after=after):
            return title(c.SetLr(after))
        case e.PhasePromoted(after=after):
            return f"promote to phase {after}"
        case e.PhaseDemoted(after=after):
            return f"demote to phase {after}"
        case e.RefinementEnabled(name=name):
            return title(c.EnableRefinement(name))
        case e.RefinementDisabled(name=name):
            return title(c.DisableRefinement(name))
        case e.LossWeightSet(term=term, after=after):
            return f"weight of {escape_control(term)} to {number(after)}"
        case e.GuardianSet(after=after):
            return title(c.SetGuardian(after))
        case e.AutopilotSet(after=after):
            return title(c.SetAutopilot(after))
        case _:
            return sentence(event)


def _undo_of(entry: Entry) -> Undo | NoUndo:
    found = _inverse(entry.event)
    if isinstance(found, str):
        return NoUndo(found, entry)
    command, caution = found
    return Undo(entry, command, caution)


# One case per event that answers a command: hence as many branches as there are.
def _inverse(event: Event) -> tuple[Command, str] | str:  # noqa: C901, PLR0912
    """The command that reverses `event` and what to know about it, or why there is none."""
    match event:
        case e.LrScaled(before=before, after=after):
            return c.ScaleLr(before / after), ""
        case e.LrSet(before=before) if before > 0:
            return c.SetLr(before), "the rate is held there and decays from it; a warm-up does not come back"
        case e.PhasePromoted():
            return c.DemotePhase(), "the weights stay as they were trained meanwhile"
        case e.PhaseDemoted():
            return c.PromotePhase(), "what comes on again starts with fresh moments"
        case e.RefinementEnabled(name=name):
            return c.DisableRefinement(name), ""
        case e.RefinementDisabled(name=name):
            return c.EnableRefinement(name), "it starts with fresh moments and is blended in"
        case e.LossWeightSet(term=term, before=before):
            return c.SetLossWeight(term, before), ""
        case e.GradientClipSet(before=before):
            return c.SetGradientClip(before), ""
        case e.AccumulationSet(before=before):
            return c.SetAccumulation(before), ""
        case e.BatchSizeSet(before=before):
            return c.SetBatchSize(before), ""
        case e.OptimizerSet(before=before):
            return c.SetOptimizer(before), ""
        case e.GuardianSet(before=before):
            return c.SetGuardian(before), ""
        case e.AutopilotSet(before=before):
            return c.SetAutopilot(before), ""
        case _:
            return _why_not(event)


def _why_not(event: Event) -> str:
    match event:
        case e.LrSet():
            return "no learning rate was in effect before this one"
        case e.RolledBack():
            return "a rollback is not taken back: the steps it gave up are gone; roll back further instead"
        case e.SamplesExcluded():
            return "no command takes excluded samples in again"
        case _:
            return "what was done last is not taken back"
