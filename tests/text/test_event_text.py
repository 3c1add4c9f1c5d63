"""Every event has its sentence, on one line, with nothing in it that a terminal would obey."""

from __future__ import annotations

import math
from typing import get_args

import pytest

from cockpit.text.event_text import EventSeverity, sentence, weight
from engine.protocol import events as e
from engine.protocol.events import Activity, Event

ESCAPE = "\x1b[2J[red]\n"
EXAMPLES: list[Event] = [
    e.Paused("running"),
    e.Resumed("paused"),
    e.StepsGranted(0, 5),
    e.LrScaled(5e-6, 2.5e-6, 0.5),
    e.LrSet(5e-6, 1e-6, 2.5),
    e.PhasePromoted(1, 2, ("active_contour_loss",), forced=True),
    e.PhaseDemoted(2, 1, ("active_contour_loss",)),
    e.RefinementEnabled("contour_detection"),
    e.RefinementDisabled("contour_detection"),
    e.LossWeightSet("dice", 0.5, 0.25),
    e.GradientClipSet(0.5, 1.0),
    e.AccumulationSet(1, 4),
    e.BatchSizeSet(2, 4),
    e.OptimizerSet("adamw", "adam"),
    e.CheckpointRequested(),
    e.RollbackRequested(ESCAPE),
    e.ValidationRequested(),
    e.NoteAdded(ESCAPE),
    e.GuardianSet(before=True, after=False),
    e.AutopilotSet(before=False, after=True),
    e.SamplesExcluded((ESCAPE, "b#1"), 0, 2),
    e.StopRequested(ESCAPE, "running"),
    e.CommandRefused("set_lr", {"value": ESCAPE}),
    e.RunStarted("cpu", 21_600_000, 400, 1, 1000, resumed_from="step 120"),
    e.ConfigChanged("data.path", '""', f'"{ESCAPE}"'),
    e.WeightsInherited(ESCAPE, 120, ("a.weight",), ()),
    e.ActivityChanged(Activity.RUNNING, Activity.PAUSED),
    e.EpochCompleted(0, 12.0, math.nan),
    e.ValidationCompleted(1.2, {"miou": 0.4321, "iou_target": 0.5}, 2.0),
    e.CheckpointSaved("step-00000120.pt", "best", 1.0, 0.4, good=False),
    e.CheckpointFailed(ESCAPE, "No space left on device"),
    e.CheckpointDamaged("step-00000120.pt", ESCAPE),
    e.RolledBack("step-00000120.pt", 200, 120),
    e.StepSkipped(("dice",), (), (ESCAPE,), "loss dice not finite"),
    e.SampleRejected(ESCAPE, "truncated"),
    e.AlertRaised("journal", ESCAPE, "free disk"),
    e.SpikeDetected("loss/total", 9, math.nan, 1.0, 7.5),
    e.FaultNamed(9, "reproduced", "backward", ESCAPE, "sqrt", "dice", "", (ESCAPE,), "forensics/step-9", 0.2),
    e.ProbationStarted("step-00000120.pt", 1, 90),
    e.ProbationEnded(passed=False),
    e.AutopilotDecided("waits", ESCAPE),
    e.RunFinished("complete", 75.0),
    e.RunFailed(ESCAPE),
]


def test_the_examples_cover_every_event() -> None:
    assert {type(event) for event in EXAMPLES} == set(get_args(e.SteeringEvent)) | set(get_args(e.Fact))


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_every_event_is_one_printable_line(event: Event) -> None:
    assert sentence(event).isprintable()
    assert sentence(event)
    assert weight(event) in EventSeverity


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (e.LrScaled(5e-6, 2.5e-6, 0.5), "learning rate 5.00e-06 -> 2.50e-06"),
        (e.NoteAdded(ESCAPE), "note: \\x1b[2J[red]\\n"),
        (e.CommandRefused("set_lr", {"value": 2.0}), "set_lr 2.0"),
        (e.PhasePromoted(1, 2, ("active_contour_loss",), forced=True), "phase 1 -> 2, on: active_contour_loss, forced"),
        (e.EpochCompleted(0, 12.0, math.nan), "epoch 1 done in 12 s, mean loss NaN"),
        (e.AlertRaised("plateau", "flat", "lower the rate"), "plateau: flat; remedy: lower the rate"),
        (e.StepsGranted(0, 1), "1 more step, then pause"),
        (
            e.FaultNamed(9, "vanished on replay", "", "", "", "", "", (), "forensics/x", 0.2),
            "step 9: vanished on replay; see forensics/x",
        ),
        (e.RunStarted("cpu", 930, 5, 1, 9), "930 parameters, 5 training and 1 validation sample, 9 steps"),
    ],
)
def test_sentences_hold_what_matters(event: Event, said: str) -> None:
    assert said in sentence(event)


def test_what_a_person_must_see_is_an_alert() -> None:
    alerts = {type(event) for event in EXAMPLES if weight(event) is EventSeverity.ALERT}

    assert alerts == {
        e.CheckpointFailed,
        e.CheckpointDamaged,
        e.RolledBack,
        e.StepSkipped,
        e.SpikeDetected,
        e.FaultNamed,
        e.SampleRejected,
        e.AlertRaised,
        e.RunFailed,
    }
