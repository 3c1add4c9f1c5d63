"""Every command: when it is applied, to what it is clamped, and why it is refused."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, get_args

import pytest

from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.commands import Command
from engine.protocol.decide import Outcome, decide
from engine.protocol.events import Activity, Event, Status
from engine.protocol.state import GateCheck, Knob, Limits, RunState
from engine.protocol.task_spec import NO_SPEC, Unsupported
from engine.tasks.person.spec import refinements_of
from tests.person_state import RIVALRY, person_state

RED = GateCheck("steps in phase", "12", "at least 100", passed=False)
GREEN = GateCheck("gradient norm", "3.1", "under 10", passed=True)
CHECKPOINTS = ("step-00000120.pt", "step-00000200.pt", "best.pt")

RUNNING = person_state(
    run="r",
    activity=Activity.RUNNING,
    lr=1e-3,
    phase=1,
    refinements=refinements_of(1),
    loss_weights={"dice": 0.5},
    checkpoints=CHECKPOINTS,
    good_checkpoint="step-00000200.pt",
    knobs={
        "tau": Knob(0.7, 0.1, 2.0),
        "top_k": Knob(3, 0.5, 8.5),
        "mixup": Knob(False),
        "mode": Knob("soft", choices=("soft", "hard", "1e3", "off")),
    },
)
PAUSED = replace(RUNNING, activity=Activity.PAUSED)
UNCLIPPED = replace(RUNNING, gradient_clip=0.5, limits=replace(RUNNING.limits, max_gradient_clip=math.inf))
"""A run whose clip may be off."""
LAST = replace(RUNNING, phase=4, refinements=refinements_of(4))
FIRST = replace(RUNNING, phase=0, refinements=frozenset())


def case(state: RunState, command: Command, event: Event, reason: str = "") -> Any:
    return pytest.param(state, command, event, reason, id=f"{type(command).__name__}-{state.activity}-{event}")


APPLIED = [
    case(RUNNING, c.Pause(), e.Paused(before="running")),
    case(replace(RUNNING, activity=Activity.VALIDATING), c.Pause(), e.Paused(before="validating")),
    case(PAUSED, c.Resume(), e.Resumed(before="paused")),
    case(replace(RUNNING, steps_until_pause=3), c.Resume(), e.Resumed(before="running")),
    case(PAUSED, c.RunSteps(), e.StepsGranted(before=0, after=1)),
    case(replace(RUNNING, steps_until_pause=3), c.RunSteps(1_000_000), e.StepsGranted(before=3, after=1_000_000)),
    case(RUNNING, c.ScaleLr(0.5), e.LrScaled(before=1e-3, after=5e-4, scale=0.5)),
    case(replace(RUNNING, lr_scale=0.5), c.ScaleLr(4), e.LrScaled(before=1e-3, after=4e-3, scale=2.0)),
    case(RUNNING, c.ScaleLr(10), e.LrScaled(before=1e-3, after=1e-2, scale=10.0)),
    case(RUNNING, c.SetLr(2e-3), e.LrSet(before=1e-3, after=2e-3, at_epoch=1.5)),
    case(replace(RUNNING, lr=0.0), c.SetLr(2e-3), e.LrSet(before=0.0, after=2e-3, at_epoch=1.5)),
    case(RUNNING, c.PromotePhase(), e.PhasePromoted(before=1, after=2, enabled=("active_contour_loss",))),
    case(
        replace(RUNNING, gate=(GREEN,)),
        c.PromotePhase(force=True),
        e.PhasePromoted(before=1, after=2, enabled=("active_contour_loss",), forced=False),
    ),
    case(
        replace(RUNNING, gate=(GREEN, RED)),
        c.PromotePhase(force=True),
        e.PhasePromoted(before=1, after=2, enabled=("active_contour_loss",), forced=True),
    ),
    case(
        replace(RUNNING, refinements=refinements_of(1) | {"contour_detection"}),
        c.PromotePhase(),
        e.PhasePromoted(before=1, after=3, enabled=("active_contour_loss",)),
    ),
    case(
        replace(FIRST, refinements=frozenset({"boundary_refinement"})),
        c.PromotePhase(),
        e.PhasePromoted(before=0, after=1, enabled=("boundary_aware_loss",)),
    ),
    case(LAST, c.DemotePhase(), e.PhaseDemoted(before=4, after=3, disabled=("distance_transform",))),
    case(
        RUNNING,
        c.DemotePhase(),
        e.PhaseDemoted(before=1, after=0, disabled=("boundary_refinement", "boundary_aware_loss")),
    ),
    case(RUNNING, c.EnableRefinement("subpixel_conv"), e.RefinementEnabled("subpixel_conv")),
    case(RUNNING, c.DisableRefinement("boundary_refinement"), e.RefinementDisabled("boundary_refinement")),
    case(RUNNING, c.SetLossWeight("dice", 0.7), e.LossWeightSet("dice", 0.5, 0.7)),
    case(RUNNING, c.SetLossWeight("contour", 0.0), e.LossWeightSet("contour", 0.0, 0.0)),
    case(RUNNING, c.SetGradientClip(0.5), e.GradientClipSet(1.0, 0.5)),
    case(UNCLIPPED, c.SetGradientClip(math.inf), e.GradientClipSet(0.5, math.inf)),
    case(RUNNING, c.SetAccumulation(4), e.AccumulationSet(1, 4)),
    case(RUNNING, c.SetBatchSize(8), e.BatchSizeSet(2, 8)),
    case(RUNNING, c.SetOptimizer("adam"), e.OptimizerSet("adamw", "adam")),
    case(RUNNING, c.SaveCheckpoint(), e.CheckpointRequested()),
    case(RUNNING, c.Rollback(), e.RollbackRequested("step-00000200.pt")),
    case(RUNNING, c.Rollback("step-00000120.pt"), e.RollbackRequested("step-00000120.pt")),
    case(RUNNING, c.Rollback("step-00000120"), e.RollbackRequested("step-00000120.pt")),
    case(RUNNING, c.Rollback("120"), e.RollbackRequested("step-00000120.pt")),
    case(RUNNING, c.Rollback("best"), e.RollbackRequested("best.pt")),
    case(RUNNING, c.Rollback("last-good.pt"), e.RollbackRequested("step-00000200.pt")),
    case(
        replace(RUNNING, checkpoints=CHECKPOINTS[:2], best_step=120),
        c.Rollback("best.pt"),
        e.RollbackRequested("step-00000120.pt"),
    ),
    case(replace(RUNNING, checkpoints=("step-0000.pt",)), c.Rollback("0"), e.RollbackRequested("step-0000.pt")),
    case(RUNNING, c.Validate(), e.ValidationRequested()),
    case(RUNNING, c.TakeHistogram("unet"), e.HistogramRequested("unet")),
    case(RUNNING, c.AddNote("calm"), e.NoteAdded("calm")),
    case(RUNNING, c.SetGuardian(False), e.GuardianSet(before=True, after=False)),
    case(RUNNING, c.SetAutopilot(True), e.AutopilotSet(before=False, after=True)),
    case(RUNNING, c.ExcludeSamples(("a#0", "b#1", "a#0", "")), e.SamplesExcluded(("a#0", "b#1"), 0, 2)),
    case(
        replace(RUNNING, excluded_samples=frozenset({"a#0"})),
        c.ExcludeSamples(("a#0", "b#1")),
        e.SamplesExcluded(("b#1",), 1, 2),
    ),
    case(RUNNING, c.SetKnob("tau", 0.5), e.KnobSet("tau", 0.7, 0.5)),
    case(RUNNING, c.SetKnob("tau", 1), e.KnobSet("tau", 0.7, 1.0)),
    case(RUNNING, c.SetKnob("tau", "0.9"), e.KnobSet("tau", 0.7, 0.9)),
    case(RUNNING, c.SetKnob("top_k", 5), e.KnobSet("top_k", 3, 5)),
    case(RUNNING, c.SetKnob("top_k", 5.0), e.KnobSet("top_k", 3, 5)),
    case(RUNNING, c.SetKnob("mixup", True), e.KnobSet("mixup", False, True)),
    case(RUNNING, c.SetKnob("mixup", "On"), e.KnobSet("mixup", False, True)),
    case(RUNNING, c.SetKnob("mode", "hard"), e.KnobSet("mode", "soft", "hard")),
    case(RUNNING, c.SetKnob("mode", 1000.0), e.KnobSet("mode", "soft", "1e3")),
    case(RUNNING, c.SetKnob("mode", False), e.KnobSet("mode", "soft", "off")),
    case(RUNNING, c.Stop(), e.StopRequested("asked to stop", before="running")),
    case(PAUSED, c.Stop("enough"), e.StopRequested("enough", before="paused")),
]

CLAMPED = [
    case(RUNNING, c.ScaleLr(100), e.LrScaled(1e-3, 1e-2, 10.0), "at most x10"),
    case(replace(RUNNING, lr=5e-3), c.ScaleLr(4), e.LrScaled(5e-3, 1e-2, 2.0), "upper bound is 0.01"),
    case(replace(RUNNING, lr=2e-9), c.ScaleLr(0.1), e.LrScaled(2e-9, 1e-9, 0.5), "lower bound is 1e-09"),
    case(RUNNING, c.SetLr(1.0), e.LrSet(1e-3, 1e-2, 1.5), "at most x10"),
    case(replace(RUNNING, lr=0.0), c.SetLr(1.0), e.LrSet(0.0, 1e-2, 1.5), "upper bound"),
    case(RUNNING, c.SetLr(1e-12), e.LrSet(1e-3, 1e-9, 1.5), "lower bound"),
    case(RUNNING, c.SetLossWeight("dice", 1e3), e.LossWeightSet("dice", 0.5, 100.0), "upper bound is 100"),
    case(RUNNING, c.SetGradientClip(1e9), e.GradientClipSet(1.0, 1000.0), "upper bound is 1000"),
    case(RUNNING, c.SetAccumulation(5000), e.AccumulationSet(1, 1024), "upper bound is 1024"),
    case(RUNNING, c.SetKnob("tau", 3), e.KnobSet("tau", 0.7, 2.0), "tau's upper bound is 2"),
    case(RUNNING, c.SetKnob("tau", -1.0), e.KnobSet("tau", 0.7, 0.1), "tau's lower bound is 0.1"),
    case(RUNNING, c.SetKnob("top_k", 10**20), e.KnobSet("top_k", 3, 8), "top_k's upper bound is 8.5"),
    case(RUNNING, c.SetKnob("top_k", 0), e.KnobSet("top_k", 3, 1), "top_k's lower bound is 0.5"),
    case(RUNNING, c.SetBatchSize(5000), e.BatchSizeSet(2, 1024), "upper bound is 1024"),
]

REFUSED = [
    (PAUSED, c.Pause(), "already paused"),
    (RUNNING, c.Resume(), "not paused"),
    (RUNNING, c.RunSteps(0), "1..1,000,000"),
    (RUNNING, c.RunSteps(1_000_001), "1..1,000,000"),
    (RUNNING, c.ScaleLr(0.0), "positive"),
    (RUNNING, c.ScaleLr(-1.0), "positive"),
    (RUNNING, c.ScaleLr(math.nan), "positive"),
    (RUNNING, c.ScaleLr(math.inf), "positive"),
    (RUNNING, c.ScaleLr(1.0), "0.001 already"),
    (replace(RUNNING, lr=1e-2), c.ScaleLr(2.0), "upper bound is 0.01"),
    (replace(RUNNING, lr=1e-9), c.ScaleLr(0.5), "lower bound is 1e-09"),
    (replace(RUNNING, lr=0.0), c.ScaleLr(2.0), "before the first step"),
    (RUNNING, c.SetLr(0.0), "positive"),
    (RUNNING, c.SetLr(math.nan), "positive"),
    (RUNNING, c.SetLr(math.inf), "positive"),
    (LAST, c.PromotePhase(), "phase 4 is the last"),
    (LAST, c.PromotePhase(force=True), "phase 4 is the last"),
    (replace(RUNNING, gate=(GREEN, RED)), c.PromotePhase(), "steps in phase is 12, must be at least 100"),
    (FIRST, c.DemotePhase(), "phase 0 is the first"),
    (replace(RUNNING, phase=0, spec=NO_SPEC), c.PromotePhase(force=True), "no phases to promote through"),
    (replace(RUNNING, phase=0, spec=NO_SPEC), c.DemotePhase(), "no phases to promote through"),
    (RUNNING, c.EnableRefinement("sharpen"), "no refinement is called 'sharpen'"),
    (RUNNING, c.EnableRefinement("boundary_refinement"), "on already"),
    (
        replace(RUNNING, refinements=frozenset({"subpixel_conv"})),
        c.EnableRefinement("progressive_upsampling"),
        "progressive_upsampling and subpixel_conv exclude each other",
    ),
    (RIVALRY, c.PromotePhase(), "phase 1 adds fine, and coarse excludes it; disable that one first"),
    (RIVALRY, c.PromotePhase(force=True), "phase 1 adds fine, and coarse excludes it; disable that one first"),
    (RUNNING, c.DisableRefinement("sharpen"), "no refinement is called 'sharpen'"),
    (RUNNING, c.DisableRefinement("contour_detection"), "off already"),
    (RUNNING, c.SetLossWeight("focal", 1.0), "no loss term is called 'focal'; there are cross_entropy, dice"),
    (replace(RUNNING, spec=NO_SPEC), c.SetLossWeight("ce", 1.0), "no loss term is called 'ce'; no term is known yet"),
    (RUNNING, c.SetLossWeight("dice", -0.1), "zero or more"),
    (RUNNING, c.SetLossWeight("dice", math.nan), "zero or more"),
    (RUNNING, c.SetGradientClip(0.0), "positive"),
    (RUNNING, c.SetGradientClip(math.inf), "positive"),
    (UNCLIPPED, c.SetGradientClip(math.nan), "positive"),
    (RUNNING, c.SetAccumulation(0), "at least 1"),
    (RUNNING, c.SetBatchSize(0), "at least 1"),
    (RUNNING, c.SetOptimizer("sgd"), "no optimizer is called 'sgd'"),
    (RUNNING, c.SetOptimizer("adamw"), "adamw already"),
    (replace(RUNNING, good_checkpoint=""), c.Rollback(), "no good checkpoint"),
    (RUNNING, c.Rollback("99"), "step-00000120.pt, step-00000200.pt, best.pt"),
    (RUNNING, c.Rollback(".pt"), "no checkpoint is called '.pt'"),
    (replace(RUNNING, checkpoints=()), c.Rollback("99"), "none yet"),
    (RUNNING, c.AddNote(" \n"), "empty"),
    (RUNNING, c.TakeHistogram(""), "no layer is named"),
    (RUNNING, c.SetGuardian(True), "on already"),
    (replace(RUNNING, guardian=False), c.SetGuardian(False), "off already"),
    (RUNNING, c.SetAutopilot(False), "off already"),
    (replace(RUNNING, autopilot=True), c.SetAutopilot(True), "on already"),
    (RUNNING, c.SetKnob("ta", 1.0), "no knob is called 'ta'; did you mean 'tau'?"),
    (RUNNING, c.SetKnob("zzz", 1.0), "no knob is called 'zzz'; there are mixup, mode, tau, top_k"),
    (replace(RUNNING, knobs={}), c.SetKnob("tau", 1.0), "no knob is called 'tau'; this run has none"),
    (RUNNING, c.SetKnob("tau", math.nan), "tau takes a number in 0.1..2, not nan"),
    (RUNNING, c.SetKnob("tau", math.inf), "tau takes a number in 0.1..2, not inf"),
    (RUNNING, c.SetKnob("tau", "nan"), "tau takes a number in 0.1..2, not nan"),
    (RUNNING, c.SetKnob("tau", True), "tau takes a number in 0.1..2, not on"),
    (RUNNING, c.SetKnob("tau", "warm"), "tau takes a number in 0.1..2, not warm"),
    (RUNNING, c.SetKnob("tau", 10**400), "tau takes a number in 0.1..2, not 1000"),
    (RUNNING, c.SetKnob("top_k", 2.5), "top_k takes a whole number in 0.5..8.5, not 2.5"),
    (RUNNING, c.SetKnob("mixup", 1), "mixup takes on or off, not 1"),
    (RUNNING, c.SetKnob("mode", "firm"), "mode takes one of soft, hard, 1e3, off, not firm"),
    (RUNNING, c.SetKnob("mode", True), "mode takes one of soft, hard, 1e3, off, not on"),
    (RUNNING, c.SetKnob("tau", 0.7), "tau is 0.7 already"),
    (RUNNING, c.SetKnob("mixup", "off"), "mixup is off already"),
    (RUNNING, c.SetKnob("mode", "soft"), "mode is soft already"),
    (replace(RUNNING, knobs={"tau": Knob(2.0, 0.1, 2.0)}), c.SetKnob("tau", 3.0), "tau's upper bound is 2"),
    (RUNNING, c.ExcludeSamples(()), "no sample is named"),
    (replace(RUNNING, excluded_samples=frozenset({"a#0"})), c.ExcludeSamples(("a#0",)), "excluded already"),
]

ONE_OF_EACH: list[Command] = [
    c.Pause(),
    c.Resume(),
    c.RunSteps(),
    c.ScaleLr(),
    c.SetLr(1e-4),
    c.PromotePhase(),
    c.DemotePhase(),
    c.EnableRefinement("contour_detection"),
    c.DisableRefinement("boundary_refinement"),
    c.SetLossWeight("dice", 1.0),
    c.SetGradientClip(0.5),
    c.SetAccumulation(2),
    c.SetBatchSize(4),
    c.SetOptimizer("adam"),
    c.SaveCheckpoint(),
    c.Rollback(),
    c.Validate(),
    c.TakeHistogram("unet"),
    c.SetGuardian(False),
    c.SetAutopilot(True),
    c.ExcludeSamples(("a#0",)),
    c.SetKnob("tau", 0.5),
    c.Stop(),
]


@pytest.mark.parametrize(("state", "command", "event", "reason"), APPLIED)
def test_a_command_in_bounds_is_applied_as_asked(state: RunState, command: Command, event: Event, reason: str) -> None:
    outcome = decide(state, command, at_epoch=1.5)
    assert (outcome.status, outcome.event, outcome.reason) == (Status.APPLIED, event, reason)


@pytest.mark.parametrize(("state", "command", "event", "reason"), CLAMPED)
def test_a_command_out_of_bounds_is_clamped_and_says_to_what(
    state: RunState, command: Command, event: Event, reason: str
) -> None:
    outcome = decide(state, command, at_epoch=1.5)
    assert (outcome.status, outcome.event) == (Status.CLAMPED, event)
    assert reason in outcome.reason


@pytest.mark.parametrize(("state", "command", "reason"), REFUSED)
def test_a_command_that_makes_no_sense_is_refused_with_the_reason(
    state: RunState, command: Command, reason: str
) -> None:
    outcome = decide(state, command)
    assert (outcome.status, outcome.event) == (Status.REFUSED, None)
    assert reason in outcome.reason


@pytest.mark.parametrize("activity", [Activity.STOPPING, Activity.FINISHED, Activity.FAILED])
@pytest.mark.parametrize("command", ONE_OF_EACH, ids=lambda command: type(command).__name__)
def test_a_run_that_ends_takes_no_command(activity: Activity, command: Command) -> None:
    outcome = decide(replace(RUNNING, activity=activity), command)
    assert (outcome.status, outcome.reason) == (Status.REFUSED, f"the run is {activity.value}")


@pytest.mark.parametrize("command", [*ONE_OF_EACH, c.AddNote("x")], ids=lambda command: type(command).__name__)
def test_a_command_that_the_task_does_not_support_is_refused_with_its_reason(command: Command) -> None:
    others = tuple(Unsupported(other.op, "another") for other in ONE_OF_EACH if other.op != command.op)
    spec = replace(RUNNING.spec, unsupported=(*others, Unsupported(command.op, "not here; use the loop")))
    assert decide(replace(RUNNING, spec=spec), command) == Outcome(Status.REFUSED, None, "not here; use the loop")
    without = replace(spec, unsupported=others)
    assert decide(replace(RUNNING, spec=without), command).status is Status.APPLIED or isinstance(command, c.Resume)


def test_a_run_that_ends_says_so_before_anything_else() -> None:
    spec = replace(RUNNING.spec, unsupported=(Unsupported("pause", "no"),))
    assert decide(replace(RUNNING, spec=spec, activity=Activity.FAILED), c.Pause()).reason == "the run is failed"


def test_a_run_that_ends_still_takes_notes() -> None:
    assert decide(replace(RUNNING, activity=Activity.FINISHED), c.AddNote("done")).status is Status.APPLIED


def test_every_command_has_a_rule_and_stands_in_these_tables() -> None:
    tried = {type(command) for command in ONE_OF_EACH} | {c.AddNote}
    assert tried == set(get_args(Command))


def test_a_refused_promotion_names_every_red_check() -> None:
    other = replace(RED, name="validation mIoU", value="0.31", bound="at least 0.40")
    reason = decide(replace(RUNNING, gate=(RED, GREEN, other)), c.PromotePhase()).reason
    assert "steps in phase is 12" in reason
    assert "validation mIoU is 0.31, must be at least 0.40" in reason
    assert "gradient norm" not in reason


def test_limits_come_from_the_state() -> None:
    narrow = replace(RUNNING, limits=Limits(max_lr_factor=2.0, max_batch_size=4))
    assert decide(narrow, c.ScaleLr(3.0)).event == e.LrScaled(1e-3, 2e-3, 2.0)
    assert decide(narrow, c.SetBatchSize(5)).event == e.BatchSizeSet(2, 4)


def test_early_in_warm_up_the_configured_rate_may_be_set_at_once() -> None:
    state = person_state(run="r", activity=Activity.RUNNING, lr=1e-9, limits=Limits(lr_configured=5e-6))
    asked = decide(state, c.SetLr(1e-6))
    assert asked.status is Status.APPLIED and isinstance(asked.event, e.LrSet) and asked.event.after == 1e-6
    beyond = decide(state, c.SetLr(1e-4))
    assert beyond.status is Status.CLAMPED and isinstance(beyond.event, e.LrSet) and beyond.event.after == 5e-6
