"""Undo as a pure function of the journal: what is taken back, by which command, and what is not."""

from __future__ import annotations

import pytest

from cockpit.ui.dialogs.undo import NoUndo, Undo, named, plan_undo
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.decide import decide
from engine.protocol.events import Status
from engine.protocol.evolve import evolve
from engine.protocol.state import Knob, Limits
from tests.dialogs.entries import Ledger
from tests.person_state import person_state

UNDONE = [
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
    (c.SetKnob("tau", 0.9), c.SetKnob("tau", 0.7)),
    (c.SetKnob("mixup", True), c.SetKnob("mixup", False)),
    (c.SetGuardian(False), c.SetGuardian(True)),
    (c.SetAutopilot(True), c.SetAutopilot(False)),
]

START = evolve(
    person_state(
        run="calm",
        step=10,
        lr=3e-3,
        total_steps=100,
        loss_weights={"dice": 0.5},
        knobs={"tau": Knob(0.7, 0.1, 2.0), "mixup": Knob(False)},
        limits=Limits(lr_configured=3e-3),
    ),
    e.PhasePromoted(0, 1, ("boundary_refinement", "boundary_aware_loss")),
    5,
)


@pytest.mark.parametrize(("done", "inverse"), UNDONE, ids=lambda command: type(command).__name__)
def test_the_inverse_brings_back_what_was(done, inverse):
    recorder = Ledger()
    event = decide(START, done).event
    assert event is not None
    recorder.write(event)
    plan = plan_undo(recorder.entries, undone_by=())
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


@pytest.mark.parametrize(
    "event",
    [
        e.Paused("running"),
        e.Resumed("paused"),
        e.StepsGranted(0, 1),
        e.CheckpointRequested(),
        e.CheckpointSaved("step-00000008.pt", "asked", 1.0, 0.4, True),
        e.ValidationRequested(),
        e.HistogramRequested("unet"),
        e.ValidationCompleted(1.0, {"miou": 0.4}, 2.0),
        e.NoteAdded("looks good"),
        e.LrScaled(3e-3, 3e-3, 1.0),
        e.GradientClipSet(1.0, 1.0),
    ],
    ids=lambda event: type(event).__name__,
)
def test_what_changed_nothing_in_the_training_is_passed_over(event):
    recorder = Ledger()
    clip = recorder.write(e.GradientClipSet(1.0, 0.5))
    recorder.write(event)
    plan = plan_undo(recorder.entries, undone_by=())
    assert isinstance(plan, Undo) and plan.entry == clip
    assert isinstance(plan_undo(recorder.entries[1:], undone_by=()), NoUndo)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (e.LrScaled(3e-3, 1.5e-3, 0.5), "lower LR"),
        (e.LrScaled(3e-3, 6e-3, 2.0), "raise LR"),
        (e.LrSet(3e-3, 1e-6, 0.0), "set LR to 1.00e-06"),
        (e.PhasePromoted(1, 2, ()), "promote to phase 2"),
        (e.PhaseDemoted(2, 1, ()), "demote to phase 1"),
        (e.RefinementEnabled("contour_detection"), "switch on contour_detection"),
        (e.RefinementDisabled("contour_detection"), "switch off contour_detection"),
        (e.LossWeightSet("dice", 0.5, 0.9), "weight of dice to 0.9"),
        (e.GradientClipSet(1.0, 0.5), "gradient clip 1 -> 0.5"),
        (e.OptimizerSet("adamw", "adam"), "optimizer adamw -> adam"),
        (e.GuardianSet(True, False), "guardian off"),
        (e.AutopilotSet(False, True), "autopilot on"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_taken_back_is_named_by_what_was_done(event, said):
    assert named(event) == said


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (e.LrSet(0.0, 1e-6, 0.0), "no learning rate was in effect"),
        (e.RolledBack("step-00000008.pt", 20, 8), "a rollback is not taken back"),
        (e.SamplesExcluded(("a#1",), 0, 1), "no command takes excluded samples in again"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_taken_back_says_why_and_names_the_entry(event, reason):
    recorder = Ledger()
    recorder.write(e.GradientClipSet(1.0, 0.5))
    entry = recorder.write(event)
    plan = plan_undo(recorder.entries, undone_by=())
    assert isinstance(plan, NoUndo)
    assert plan.reason.startswith(reason) and plan.entry == entry


def test_what_stands_in_the_way_can_be_passed_over():
    recorder = Ledger()
    clip = recorder.write(e.GradientClipSet(1.0, 0.5))
    back = recorder.write(e.RolledBack("step-00000008.pt", 20, 8))
    plan = plan_undo(recorder.entries, undone_by=(), passed={back.id})
    assert isinstance(plan, Undo) and plan.entry == clip


def test_undoing_twice_walks_back_further_and_then_ends():
    recorder = Ledger()
    first = recorder.write(e.GradientClipSet(1.0, 0.5))
    recorder.write(e.LossWeightSet("dice", 0.5, 0.9))
    undo = recorder.write(e.LossWeightSet("dice", 0.9, 0.5))
    plan = plan_undo(recorder.entries, undone_by={undo.command_id})
    assert isinstance(plan, Undo) and plan.entry == first
    second = recorder.write(e.GradientClipSet(0.5, 1.0))
    plan = plan_undo(recorder.entries, undone_by={undo.command_id, second.command_id})
    assert plan == NoUndo("nothing is left to take back")


def test_a_new_intervention_after_an_undo_is_taken_back_first():
    recorder = Ledger()
    recorder.write(e.LossWeightSet("dice", 0.5, 0.9))
    undo = recorder.write(e.LossWeightSet("dice", 0.9, 0.5))
    newest = recorder.write(e.GradientClipSet(1.0, 0.5))
    plan = plan_undo(recorder.entries, undone_by={undo.command_id})
    assert isinstance(plan, Undo) and plan.entry == newest


def test_an_undo_does_not_count_for_a_note_between():
    recorder = Ledger()
    first = recorder.write(e.GradientClipSet(1.0, 0.5))
    recorder.write(e.LossWeightSet("dice", 0.5, 0.9))
    recorder.write(e.NoteAdded("hm"))
    undo = recorder.write(e.LossWeightSet("dice", 0.9, 0.5))
    plan = plan_undo(recorder.entries, undone_by={undo.command_id})
    assert isinstance(plan, Undo) and plan.entry == first


@pytest.mark.parametrize("actor", c.OWN_ACTORS)
def test_what_no_person_did_is_left_alone(actor):
    recorder = Ledger()
    recorder.write(e.GradientClipSet(1.0, 0.5), actor=actor)
    assert plan_undo(recorder.entries, undone_by=()) == NoUndo("no change by hand to take back yet")


def test_another_persons_intervention_counts_too():
    recorder = Ledger()
    recorder.write(e.GradientClipSet(1.0, 0.5), actor="ada")
    assert isinstance(plan_undo(recorder.entries, undone_by=()), Undo)


def test_refused_commands_and_facts_are_no_interventions():
    recorder = Ledger()
    recorder.write(e.CommandRefused("promote", {}), status=Status.REFUSED)
    recorder.write(e.CheckpointSaved("step-00000008.pt", "step", 1.0, None, True), status=Status.NOTED, answers=False)
    recorder.write(e.GradientClipSet(1.0, 0.5), status=Status.NOTED, answers=False)
    assert plan_undo(recorder.entries, undone_by=()) == NoUndo("no change by hand to take back yet")


def test_a_clamped_command_is_taken_back_like_any():
    recorder = Ledger()
    recorder.write(e.LossWeightSet("dice", 0.5, 100.0), status=Status.CLAMPED)
    plan = plan_undo(recorder.entries, undone_by=())
    assert isinstance(plan, Undo) and plan.command == c.SetLossWeight("dice", 0.5)
