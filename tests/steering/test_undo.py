"""Undo as a pure function of the journal: what is taken back, by which command, and what is not."""

from __future__ import annotations

import pytest

from cockpit.steering.undo import NoUndo, Undo, plan_undo
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.events import Status
from engine.protocol.rules import decide
from engine.protocol.state import Limits, RunState, evolve
from tests.steering.entries import Ledger

UNDONE = [
    (c.Pause(), c.Resume()),
    (c.ScaleLr(0.5), c.ScaleLr(2.0)),
    (c.ScaleLr(2.0), c.ScaleLr(0.5)),
    (c.SetLr(1e-6), c.SetLr(3e-3)),
    (c.PromotePhase(), c.DemotePhase()),
    (c.DemotePhase(), c.PromotePhase()),
    (c.EnableRefinement("distance_transform"), c.DisableRefinement("distance_transform")),
    (c.DisableRefinement("boundary_aware_loss"), c.EnableRefinement("boundary_aware_loss")),
    (c.SetLossWeight("dice", 0.9), c.SetLossWeight("dice", 0.5)),
    (c.SetGradientClip(0.1), c.SetGradientClip(1.0)),
    (c.SetAccumulation(4), c.SetAccumulation(1)),
    (c.SetBatchSize(8), c.SetBatchSize(2)),
    (c.SetOptimizer("adam"), c.SetOptimizer("adamw")),
    (c.SetGuardian(False), c.SetGuardian(True)),
    (c.SetAutopilot(True), c.SetAutopilot(False)),
]

START = evolve(
    RunState(
        run="calm",
        step=10,
        lr=3e-3,
        total_steps=100,
        loss_weights={"dice": 0.5},
        limits=Limits(lr_configured=3e-3),
    ),
    e.PhasePromoted(0, 1, ("boundary_refinement", "boundary_aware_loss")),
    5,
)


@pytest.mark.parametrize(("done", "inverse"), UNDONE, ids=lambda command: type(command).__name__)
def test_the_inverse_brings_back_what_was(done, inverse):
    ledger = Ledger()
    event = decide(START, done).event
    assert event is not None
    ledger.write(event)
    plan = plan_undo(ledger.entries, undone_by=())
    assert isinstance(plan, Undo)
    assert plan.command == inverse
    changed = evolve(START, event, 10)
    answer = decide(changed, plan.command)
    assert answer.status is Status.APPLIED and answer.event is not None
    back = evolve(changed, answer.event, 10)
    assert back.lr == pytest.approx(START.lr)
    watched = ("refinements", "phase", "loss_weights", "gradient_clip", "accumulation", "batch_size", "optimizer")
    for name in (*watched, "guardian", "autopilot"):
        assert getattr(back, name) == getattr(START, name)


def test_a_resume_is_taken_back_by_a_pause():
    ledger = Ledger()
    ledger.write(e.Resumed("paused"))
    plan = plan_undo(ledger.entries, undone_by=())
    assert isinstance(plan, Undo) and plan.command == c.Pause()


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (e.LrSet(0.0, 1e-6, 0.0), "no learning rate was in effect"),
        (e.RolledBack("step-00000008.pt", 20, 8), "a rollback is not taken back"),
        (e.ValidationCompleted(1.0, 0.4, 0.5, 0.4, 0.3, 0.5, 2.0), "a validation changed nothing"),
        (e.CheckpointSaved("step-00000008.pt", "asked", 1.0, 0.4, True), "a checkpoint that was written stays"),
        (e.NoteAdded("looks good"), "a note that was written stays"),
        (e.StepsGranted(0, 1), "steps that were taken stay taken"),
        (e.SamplesExcluded(("a#1",), 0, 1), "no command takes excluded samples in again"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_taken_back_says_why_and_names_the_entry(event, reason):
    ledger = Ledger()
    ledger.write(e.GradientClipSet(1.0, 0.5))
    entry = ledger.write(event)
    plan = plan_undo(ledger.entries, undone_by=())
    assert isinstance(plan, NoUndo)
    assert plan.reason.startswith(reason) and plan.entry == entry


def test_what_stands_in_the_way_can_be_passed_over():
    ledger = Ledger()
    clip = ledger.write(e.GradientClipSet(1.0, 0.5))
    note = ledger.write(e.NoteAdded("looks good"))
    plan = plan_undo(ledger.entries, undone_by=(), passed={note.id})
    assert isinstance(plan, Undo) and plan.entry == clip


def test_undoing_twice_walks_back_further_and_then_ends():
    ledger = Ledger()
    first = ledger.write(e.GradientClipSet(1.0, 0.5))
    ledger.write(e.LossWeightSet("dice", 0.5, 0.9))
    undo = ledger.write(e.LossWeightSet("dice", 0.9, 0.5))
    plan = plan_undo(ledger.entries, undone_by={undo.command_id})
    assert isinstance(plan, Undo) and plan.entry == first
    second = ledger.write(e.GradientClipSet(0.5, 1.0))
    plan = plan_undo(ledger.entries, undone_by={undo.command_id, second.command_id})
    assert plan == NoUndo("nothing is left to take back")


def test_a_new_intervention_after_an_undo_is_taken_back_first():
    ledger = Ledger()
    ledger.write(e.LossWeightSet("dice", 0.5, 0.9))
    undo = ledger.write(e.LossWeightSet("dice", 0.9, 0.5))
    newest = ledger.write(e.GradientClipSet(1.0, 0.5))
    plan = plan_undo(ledger.entries, undone_by={undo.command_id})
    assert isinstance(plan, Undo) and plan.entry == newest


def test_an_undo_does_not_count_for_a_note_between():
    ledger = Ledger()
    first = ledger.write(e.GradientClipSet(1.0, 0.5))
    ledger.write(e.LossWeightSet("dice", 0.5, 0.9))
    note = ledger.write(e.NoteAdded("hm"))
    undo = ledger.write(e.LossWeightSet("dice", 0.9, 0.5))
    plan = plan_undo(ledger.entries, undone_by={undo.command_id}, passed={note.id})
    assert isinstance(plan, Undo) and plan.entry == first


@pytest.mark.parametrize("actor", ["engine", "guardian", "autopilot", "script", "signal"])
def test_what_no_person_did_is_left_alone(actor):
    ledger = Ledger()
    ledger.write(e.GradientClipSet(1.0, 0.5), actor=actor)
    assert plan_undo(ledger.entries, undone_by=()) == NoUndo("nobody has intervened yet")


def test_another_persons_intervention_counts_too():
    ledger = Ledger()
    ledger.write(e.GradientClipSet(1.0, 0.5), actor="ada")
    assert isinstance(plan_undo(ledger.entries, undone_by=()), Undo)


def test_refused_commands_and_facts_are_no_interventions():
    ledger = Ledger()
    ledger.write(e.CommandRefused("promote", {}), status=Status.REFUSED)
    ledger.write(e.CheckpointSaved("step-00000008.pt", "step", 1.0, None, True), status=Status.NOTED, answers=False)
    ledger.write(e.GradientClipSet(1.0, 0.5), status=Status.NOTED, answers=False)
    assert plan_undo(ledger.entries, undone_by=()) == NoUndo("nobody has intervened yet")


def test_a_clamped_command_is_taken_back_like_any():
    ledger = Ledger()
    ledger.write(e.LossWeightSet("dice", 0.5, 100.0), status=Status.CLAMPED)
    plan = plan_undo(ledger.entries, undone_by=())
    assert isinstance(plan, Undo) and plan.command == c.SetLossWeight("dice", 0.5)
