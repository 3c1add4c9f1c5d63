"""What each event does to the state, and that nothing else does."""

from __future__ import annotations

import math
import typing
from dataclasses import FrozenInstanceError, replace
from typing import Any, get_args

import pytest

from engine.protocol import events as e
from engine.protocol.commands import KnobValue
from engine.protocol.events import Activity, Event
from engine.protocol.evolve import evolve
from engine.protocol.state import Decided, Decisions, Knob, LrPin, Measurements, Probation, RunState
from engine.protocol.task_spec import TaskSpec, Term, Unsupported
from engine.tasks.person.spec import refinements_of
from tests.person_state import person_state

NO_STEP = Unsupported("step", "it runs freely; use pause")
BEFORE = person_state(
    run="r",
    activity=Activity.RUNNING,
    lr=1e-3,
    lr_scale=0.5,
    lr_pin=LrPin(1e-3, 0.2),
    phase=1,
    phase_started_at=7,
    refinements=refinements_of(1),
    enabled_at={"boundary_refinement": 7},
    loss_weights={"dice": 0.5},
    steps_until_pause=3,
    good_checkpoint="a.pt",
    probation=Probation("old.pt", 0, 80),
    excluded_samples=frozenset({"b#1"}),
    knobs={"tau": Knob(0.7, 0.1, 2.0)},
)
STEP = 40
DESCRIBED = TaskSpec("other", terms=(Term("dice"), Term("new", weight=0.25)), score="miou", unsupported=(NO_STEP,))

CHANGES: list[tuple[Event, dict[str, Any]]] = [
    (e.Paused("running"), {"activity": Activity.PAUSED, "steps_until_pause": None}),
    (e.Resumed("paused"), {"activity": Activity.RUNNING, "steps_until_pause": None}),
    (e.StepsGranted(0, 5), {"activity": Activity.RUNNING, "steps_until_pause": 5}),
    (e.LrScaled(1e-3, 5e-4, 0.25), {"lr": 5e-4, "lr_scale": 0.25}),
    (e.LrSet(1e-3, 2e-4, 1.5), {"lr": 2e-4, "lr_scale": 1.0, "lr_pin": LrPin(2e-4, 1.5)}),
    (
        e.PhasePromoted(1, 2, ("active_contour_loss",)),
        {
            "refinements": refinements_of(2),
            "phase": 2,
            "phase_started_at": STEP,
            "enabled_at": {"boundary_refinement": 7, "active_contour_loss": STEP},
        },
    ),
    (
        e.PhaseDemoted(1, 0, ("boundary_refinement", "boundary_aware_loss")),
        {"refinements": frozenset(), "phase": 0, "phase_started_at": STEP, "enabled_at": {}, "probation": None},
    ),
    (
        e.RefinementEnabled("subpixel_conv"),
        {
            "refinements": refinements_of(1) | {"subpixel_conv"},
            "enabled_at": {"boundary_refinement": 7, "subpixel_conv": STEP},
        },
    ),
    (
        e.RefinementDisabled("boundary_aware_loss"),
        {"refinements": frozenset({"boundary_refinement"}), "phase": 0, "phase_started_at": STEP, "probation": None},
    ),
    (e.LossWeightSet("contour", 0.0, 0.3), {"loss_weights": {"dice": 0.5, "contour": 0.3}}),
    (e.GradientClipSet(1.0, 0.5), {"gradient_clip": 0.5}),
    (e.AccumulationSet(1, 4), {"accumulation": 4}),
    (e.BatchSizeSet(2, 8), {"batch_size": 8}),
    (e.OptimizerSet("adamw", "adam"), {"optimizer": "adam"}),
    (e.StopRequested("enough", "running"), {"activity": Activity.STOPPING, "steps_until_pause": None}),
    (e.ActivityChanged(Activity.RUNNING, Activity.VALIDATING), {"activity": Activity.VALIDATING}),
    (e.ValidationCompleted(1.0, {"miou": 0.4}, 1.0), {"score": 0.4, "best_score": 0.4, "best_step": STEP}),
    (e.CheckpointSaved("b.pt", "step", 1.0, None, good=True), {"last_checkpoint": "b.pt", "good_checkpoint": "b.pt"}),
    (e.CheckpointSaved("b.pt", "step", 1.0, None, good=False), {"last_checkpoint": "b.pt"}),
    (e.RolledBack("a.pt", 40, 3), {"phase_started_at": 3, "enabled_at": {"boundary_refinement": 3}}),
    (e.StepSkipped(("dice",), (), (), "NaN"), {"skipped_steps": 1}),
    (e.SampleRejected("a.jpg", "truncated"), {"rejected_samples": 1}),
    (e.AlertRaised("spike", "loss x10"), {"alerts": 1}),
    (e.SpikeDetected("loss/total", 9, 4.0, 1.0, 7.5), {"spikes": 1}),
    (
        e.FaultNamed(9, "reproduced", "backward", "edges", "sqrt", "dice", "contour_detection", ("a#0",), "f", 0.2),
        {"fault": "step 9: sqrt in edges (backward)"},
    ),
    (
        e.FaultNamed(9, "vanished on replay", "forward", "", "", "", "", (), "f", 0.2),
        {"fault": "step 9: vanished on replay (forward)"},
    ),
    (
        e.FaultNamed(9, "vanished on replay", "", "", "", "", "", (), "f", 0.2),
        {"fault": "step 9: vanished on replay"},
    ),
    (e.ProbationStarted("a.pt", 1, 90, ("x",)), {"probation": Probation("a.pt", 1, 90, ("x",))}),
    (e.ProbationEnded(passed=False), {"probation": None}),
    (e.GuardianSet(before=True, after=False), {"guardian": False}),
    (e.AutopilotSet(before=False, after=True), {"autopilot": True}),
    (e.SamplesExcluded(("a#0",), 1, 2), {"excluded_samples": frozenset({"a#0", "b#1"})}),
    (
        e.TaskDescribed(DESCRIBED),
        {"spec": DESCRIBED, "loss_weights": {"dice": 0.5, "new": 0.25}, "phase": 0},
    ),
    (e.KnobDeclared("mix", True), {"knobs": {"tau": Knob(0.7, 0.1, 2.0), "mix": Knob(True)}}),
    (e.KnobDeclared("tau", 0.5, 0.0, 1.0), {"knobs": {"tau": Knob(0.5, 0.0, 1.0)}}),
    (e.KnobSet("tau", 0.7, 0.9), {"knobs": {"tau": Knob(0.9, 0.1, 2.0)}}),
    (e.RunFinished("all epochs", 3.0), {"activity": Activity.FINISHED}),
    (e.RunFailed("boom"), {"activity": Activity.FAILED}),
]

WITHOUT_EFFECT: list[Event] = [
    e.CheckpointRequested(),
    e.RollbackRequested("a.pt"),
    e.ValidationRequested(),
    e.HistogramRequested("unet"),
    e.HistogramTaken("unet", 9, "histograms/step-00000009-unet.json"),
    e.NoteAdded("hello"),
    e.CommandRefused("pause", {}),
    e.RunStarted("cpu", 1, 2, 3, 4),
    e.ConfigChanged("training.epochs", "3", "4"),
    e.WeightsInherited("a.pt", 3, (), ()),
    e.EpochCompleted(0, 1.0, 2.0),
    e.CheckpointFailed("a.pt", "full"),
    e.CheckpointDamaged("a.pt", "checksum"),
    e.AutopilotDecided("waits", "steps in phase is 12, must be at least 100"),
    e.KnobSet("unknown", 1, 2),
]


@pytest.mark.parametrize(("event", "changes"), CHANGES, ids=lambda value: type(value).__name__)
def test_an_event_changes_exactly_what_it_says(event: Event, changes: dict[str, Any]) -> None:
    assert evolve(BEFORE, event, STEP) == replace(BEFORE, **changes)


@pytest.mark.parametrize("event", WITHOUT_EFFECT, ids=lambda event: type(event).__name__)
def test_an_event_that_steers_nothing_leaves_the_state_alone(event: Event) -> None:
    assert evolve(BEFORE, event, STEP) is BEFORE


def test_every_event_stands_in_these_tables() -> None:
    assert {type(event) for event, _ in CHANGES} | {type(event) for event in WITHOUT_EFFECT} == set(get_args(Event))


def test_another_score_has_no_best_value_yet() -> None:
    scored = evolve(BEFORE, e.ValidationCompleted(1.0, {"miou": 0.5}, 1.0), 1)
    for spec in (replace(DESCRIBED, score="loss"), replace(DESCRIBED, lower_is_better=True)):
        described = evolve(scored, e.TaskDescribed(spec), 2)
        assert (described.score, described.best_score, described.best_step) == (None, None, None)
    assert evolve(scored, e.TaskDescribed(DESCRIBED), 2).best_score == 0.5


@pytest.mark.parametrize(
    ("knob", "expected", "accepted", "rejected"),
    [
        (Knob(0.7, 0.1, 2.0), "a number in 0.1..2", (0.1, 2.0), (0.0, 2.5, math.nan, math.inf, 1, True, "0.7")),
        (Knob(0.7, low=0.1), "a number of at least 0.1", (0.1, 1e9), (0.0,)),
        (Knob(0.7, high=2.0), "a number of at most 2", (-1e9, 2.0), (2.5,)),
        (Knob(3, 1, 8), "a whole number in 1..8", (1, 8), (0, 9, 2.0, True)),
        (Knob(3), "a whole number", (-1, 0), (2.0,)),
        (Knob(False), "on or off", (True, False), (1, 0.0, "on")),
        (Knob("soft", choices=("soft", "hard")), "one of soft, hard", ("soft", "hard"), ("firm", "", 1)),
    ],
)
def test_a_knob_says_what_it_takes(
    knob: Knob, expected: str, accepted: tuple[KnobValue, ...], rejected: tuple[KnobValue, ...]
) -> None:
    assert knob.expected == expected
    assert all(knob.accepts(value) for value in accepted)
    assert not any(knob.accepts(value) for value in rejected)


def test_a_knob_of_an_event_is_the_knob_of_the_state() -> None:
    declared = evolve(BEFORE, e.KnobDeclared("by", "soft", choices=("soft", "hard")), 1)
    assert declared.knobs["by"] == Knob("soft", choices=("soft", "hard"))
    assert evolve(declared, e.KnobSet("by", "soft", "hard"), 2).knobs["by"].choices == ("soft", "hard")


def test_every_field_but_run_is_decided_or_measured_in_its_type() -> None:
    decided, whole = typing.get_type_hints(Decided), typing.get_type_hints(RunState)
    constant = {"run": decided["run"]}
    assert typing.get_type_hints(Decisions) | constant == decided
    assert typing.get_type_hints(Measurements) | decided == whole


def test_a_rollback_by_the_guardian_is_counted() -> None:
    back = e.RolledBack("a.pt", 40, 3)
    assert [evolve(BEFORE, back, 3, actor=actor).rollbacks for actor in ("", "ada", "guardian")] == [0, 0, 1]


def test_a_rollback_leaves_what_was_earlier_than_its_checkpoint() -> None:
    back = evolve(BEFORE, e.RolledBack("a.pt", 40, 20), 20)
    assert (back.phase_started_at, back.enabled_at) == (7, {"boundary_refinement": 7})


def test_the_best_score_survives_a_worse_validation() -> None:
    good = evolve(BEFORE, e.ValidationCompleted(1.0, {"miou": 0.5}, 1.0), 1)
    worse = evolve(good, e.ValidationCompleted(1.0, {"miou": 0.3}, 1.0), 2)
    assert (worse.score, worse.best_score, worse.best_step) == (0.3, 0.5, 1)
    undone = evolve(worse, e.RolledBack("a.pt", 2, 0), 2)
    assert (undone.best_score, undone.best_step) == (0.5, 1)


@pytest.mark.parametrize(("loss", "best"), [(None, 0.5), (0.7, 0.5), (math.nan, None), (math.inf, None)])
def test_a_score_without_a_loss_may_be_the_best_and_one_with_a_bad_loss_not(
    loss: float | None, best: float | None
) -> None:
    scored = evolve(BEFORE, e.ValidationCompleted(loss, {"miou": 0.5}, 1.0), 1)
    assert (scored.score, scored.best_score) == (0.5, best)


def test_a_toggle_outside_the_phases_does_not_restart_the_phase() -> None:
    assert evolve(BEFORE, e.RefinementEnabled("subpixel_conv"), STEP).phase_started_at == 7


def test_a_refinement_switched_off_and_on_blends_in_anew() -> None:
    off = evolve(BEFORE, e.RefinementDisabled("boundary_refinement"), 50)
    on = evolve(off, e.RefinementEnabled("boundary_refinement"), 60)
    assert "boundary_refinement" not in off.enabled_at
    assert on.enabled_at["boundary_refinement"] == 60


def test_a_refinement_enabled_twice_keeps_its_first_step() -> None:
    assert evolve(BEFORE, e.RefinementEnabled("boundary_refinement"), STEP).enabled_at == {"boundary_refinement": 7}


def test_a_state_cannot_be_written_to() -> None:
    with pytest.raises(FrozenInstanceError):
        BEFORE.lr = 1.0  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(TypeError):
        evolve(BEFORE, e.LossWeightSet("dice", 0.5, 1.0), 1).loss_weights["dice"] = 2.0  # pyright: ignore[reportIndexIssue]
