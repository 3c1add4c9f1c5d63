"""Every event has its sentence, on one line, with nothing in it that a terminal would obey."""

from __future__ import annotations

import math
from collections import Counter
from typing import get_args

import pytest

from cockpit.text.event_info import Severity
from cockpit.text.event_text import REGISTRY, info_of, sentence, severity
from engine.journal.reader import Entry
from engine.protocol import events as e
from engine.protocol.events import Activity, Event, Status
from engine.protocol.task_spec import NO_SPEC, Metric, TaskSpec, Term, Unsupported
from engine.tasks.person.spec import SPEC

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
    e.HistogramRequested(ESCAPE),
    e.NoteAdded(ESCAPE),
    e.GuardianSet(before=True, after=False),
    e.AutopilotSet(before=False, after=True),
    e.SamplesExcluded((ESCAPE, "b#1"), 0, 2),
    e.KnobSet(ESCAPE, "a", ESCAPE),
    e.StopRequested(ESCAPE, "running"),
    e.CommandRefused("set_lr", {"value": ESCAPE}),
    e.RunStarted("cpu", 21_600_000, 400, 1, 1000, resumed_from="step 120"),
    e.ConfigChanged("data.path", '""', f'"{ESCAPE}"'),
    e.TaskDescribed(TaskSpec(ESCAPE, terms=(Term("ce"),))),
    e.KnobDeclared(ESCAPE, ESCAPE, choices=(ESCAPE,)),
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
    e.HistogramTaken(ESCAPE, 9, ESCAPE),
    e.AlertRaised("journal", ESCAPE, "free disk"),
    e.SpikeDetected("loss/total", 9, math.nan, 1.0, 7.5),
    e.FaultNamed(9, "reproduced", "backward", ESCAPE, "sqrt", "dice", "", (ESCAPE,), "forensics/step-9", 0.2),
    e.ProbationStarted("step-00000120.pt", 1, 90),
    e.ProbationEnded(passed=False),
    e.AutopilotDecided("waits", ESCAPE),
    e.RunFinished("complete", 75.0),
    e.RunFailed(ESCAPE),
]


ALL_EVENTS = (*get_args(e.SteeringEvent), *get_args(e.Fact))


def test_every_event_of_the_protocol_has_exactly_one_entry() -> None:
    assert Counter(info.kind for info in REGISTRY) == Counter(ALL_EVENTS)


def test_every_lasting_event_is_marked_listed_as_a_change_and_taken_back_or_told_why_not() -> None:
    lasting = [info for info in REGISTRY if info.kind in e.LASTING_EVENTS]
    assert len(lasting) == len(e.LASTING_EVENTS)
    assert [info.kind for info in lasting if info.mark is None or info.changes is None or info.undo is None] == []


def test_what_is_marked_as_a_change_is_what_a_resume_repeats() -> None:
    changes = {info.kind for info in REGISTRY if info.mark is not None and info.mark.is_change}
    assert changes == {*e.LASTING_EVENTS, e.RolledBack}


def test_an_event_that_opens_an_incident_is_an_alert() -> None:
    assert {info.severity for info in REGISTRY if info.trouble is not None} == {Severity.ALERT}


def test_the_examples_cover_every_event() -> None:
    assert {type(event) for event in EXAMPLES} == set(ALL_EVENTS)


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_every_event_is_one_printable_line(event: Event) -> None:
    assert sentence(event, NO_SPEC).isprintable()
    assert sentence(event, NO_SPEC)


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_every_text_of_an_entry_is_made_of_its_event(event: Event) -> None:
    info = info_of(event)
    assert all(made(event) for made in (info.short, info.request, info.undo) if made is not None)
    for change in info.changes(event) if info.changes is not None else ():
        assert change.was != change.now


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (e.LrScaled(5e-6, 2.5e-6, 0.5), "learning rate 5.00e-06 -> 2.50e-06"),
        (e.NoteAdded(ESCAPE), "note: \\x1b[2J[red]\\n"),
        (e.CommandRefused("set_lr", {"value": 2.0}), "set_lr 2.0"),
        (e.CommandRefused("promote", {"force": False}), "promote"),
        (e.CommandRefused("promote", {"force": True}), "promote --force"),
        (e.CommandRefused("guardian", {"enabled": False}), "guardian off"),
        (e.PhasePromoted(1, 2, ("active_contour_loss",), forced=True), "phase 1 -> 2, on: active_contour_loss, forced"),
        (e.EpochCompleted(0, 12.0, math.nan), "epoch 1 done in 12 s, mean loss NaN"),
        (e.AlertRaised("plateau", "flat", "lower the rate"), "plateau: flat; remedy: lower the rate"),
        (e.AlertRaised("rule cool", "loss > 2 (loss 3)", severity="error"), "rule cool, error: loss > 2 (loss 3)"),
        (e.KnobSet("tau", 0.7, 1.0), "tau 0.7 -> 1"),
        (e.KnobSet("mixup", False, True), "mixup off -> on"),
        (e.KnobDeclared("tau", 0.7, 0.1, 2.0), "knob tau is 0.7, takes a number in 0.1..2"),
        (
            e.TaskDescribed(
                TaskSpec(
                    "loop",
                    (Term("ce"), Term("kl")),
                    (Metric("acc", "accuracy"),),
                    unsupported=(Unsupported("step", "no"),),
                )
            ),
            "task loop: loss terms ce, kl; metrics accuracy; 1 command not supported",
        ),
        (e.TaskDescribed(NO_SPEC), "task without a name: no loss term; no metric"),
        (e.StepsGranted(0, 1), "1 more step, then pause"),
        (
            e.FaultNamed(9, "vanished on replay", "", "", "", "", "", (), "forensics/x", 0.2),
            "step 9: vanished on replay; see forensics/x",
        ),
        (e.RunStarted("cpu", 930, 0, 0, 0), "training on cpu: 930 parameters"),
        (e.RunStarted("cpu", 930, 0, 0, 9), "training on cpu: 930 parameters, 9 steps"),
        (e.GradientClipSet(math.inf, 0.5), "gradient clip off -> 0.5"),
        (e.RunStarted("cpu", 930, 5, 1, 9), "930 parameters, 5 training and 1 validation sample, 9 steps"),
    ],
)
def test_sentences_hold_what_matters(event: Event, said: str) -> None:
    assert said in sentence(event, NO_SPEC)


def test_a_validation_has_the_titles_that_the_task_gives_its_metrics() -> None:
    event = e.ValidationCompleted(1.2, {"miou": 0.4321, "iou_target": math.nan, "odd_one": 0.5}, 2.0)
    titles = "validation: mIoU 0.4321, IoU target absent, odd one 0.5000, loss 1.2 (2 s)"
    assert sentence(event, SPEC) == titles
    unmeasured = e.ValidationCompleted(None, {"miou": 0.4321}, 2.0)
    assert sentence(unmeasured, SPEC) == "validation: mIoU 0.4321 (2 s)"
    as_metric = e.ValidationCompleted(0.5, {"loss": 0.5}, 2.0)
    assert sentence(as_metric, SPEC) == "validation: loss 0.5000 (2 s)"
    averaged = e.ValidationCompleted(None, {"miou": 0.4321}, 2.0, "ema")
    assert sentence(averaged, SPEC) == "validation of averaged weights (ema): mIoU 0.4321 (2 s)"
    other = TaskSpec(metrics=(Metric("odd_one", "accuracy, top 1"),))
    assert "miou 0.4321, iou target absent, accuracy, top 1 0.5000" in sentence(event, other)


def test_a_fault_is_put_on_the_component_in_the_words_of_the_task() -> None:
    event = e.FaultNamed(9, "reproduced", "backward", "edges", "sqrt", "", "edges", (), "forensics/step-9", 0.2)
    assert "component edges" in sentence(event, NO_SPEC)
    assert "refinement edges" in sentence(event, SPEC)


def test_the_answer_to_a_command_is_an_intervention_unless_it_matters_more() -> None:
    def entry(event: Event, status: Status) -> Entry:
        return Entry(1, 0.0, 0, 3, "cockpit", 1, status, "", event)

    saved = e.CheckpointSaved("step-00000120.pt", "asked", 1.0, 0.4, good=True)
    assert severity(entry(saved, Status.NOTED)) is Severity.PROGRESS
    assert severity(entry(saved, Status.APPLIED)) is Severity.INTERVENTION
    assert severity(entry(e.CheckpointRequested(), Status.CLAMPED)) is Severity.INTERVENTION
    assert severity(entry(e.ValidationCompleted(1.0, {}, 2.0), Status.APPLIED)) is Severity.RESULT


def test_what_a_person_must_see_is_an_alert() -> None:
    alerts = {type(event) for event in EXAMPLES if info_of(event).severity is Severity.ALERT}

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
