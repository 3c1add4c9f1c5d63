"""Taking back the last intervention of a person: which one that is, and the command that reverses it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from engine.journal.reader import Entry
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.commands import Command
from engine.protocol.events import Event, Status

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
    return NoUndo("nobody has intervened yet" if not passed and not undone_by else "nothing is left to take back")


def is_intervention(entry: Entry) -> bool:
    """Whether a person did this: the answer to a command that was not refused."""
    return entry.status in (Status.APPLIED, Status.CLAMPED) and entry.actor not in MACHINES


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
        case e.Paused():
            return c.Resume(), ""
        case e.Resumed():
            return c.Pause(), ""
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
        case e.ValidationCompleted():
            return "a validation changed nothing that could be taken back"
        case e.CheckpointSaved():
            return "a checkpoint that was written stays"
        case e.NoteAdded():
            return "a note that was written stays"
        case e.StepsGranted():
            return "steps that were taken stay taken: roll back instead"
        case e.SamplesExcluded():
            return "no command takes excluded samples in again"
        case _:
            return "what was done last is not taken back"
