"""Commands, events and states outside the program."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any, get_args

import pytest

from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol import wire
from engine.protocol.codec import WireError
from engine.protocol.commands import Command
from engine.protocol.events import Activity, Event
from engine.protocol.state import GateCheck, Knob, Limits, LrPin
from engine.protocol.task_spec import Unsupported
from engine.tasks.person.spec import SPEC
from tests.person_state import person_state
from tests.protocol.test_state import CHANGES, WITHOUT_EFFECT

EVENTS: list[Event] = [*(event for event, _ in CHANGES), *WITHOUT_EFFECT]
STATE = person_state(
    run="r",
    activity=Activity.VALIDATING,
    lr_pin=LrPin(1e-3, 0.5),
    refinements=frozenset({"contour_detection"}),
    enabled_at={"contour_detection": 4},
    loss_weights={"dice": 0.5},
    steps_until_pause=2,
    gate=(GateCheck("a", "1", "2", passed=True),),
    loss=math.inf,
    score=0.25,
    checkpoints=("a.pt",),
    limits=Limits(lr_max=1e-3),
    knobs={"tau": Knob(0.7, 0.1, 2.0), "k": Knob(3, 1, 8), "mix": Knob(True), "by": Knob("b", choices=("a", "b"))},
)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_survives_the_wire(event: Event) -> None:
    assert wire.event_from_text(wire.kind_of(event), wire.event_to_text(event)) == event
    assert json.loads(wire.event_to_text(event)) == wire.event_to_json(event)


def test_a_state_survives_the_wire() -> None:
    assert wire.state_from_text(wire.state_to_text(STATE), SPEC) == STATE


def test_a_state_of_an_older_program_reads_with_defaults() -> None:
    fields = wire.state_to_json(STATE)
    del fields["limits"], fields["samples_per_second"], fields["knobs"]
    assert wire.state_from_json(fields, SPEC) == replace(STATE, limits=Limits(), knobs={})


def test_a_knob_keeps_the_type_of_its_value() -> None:
    read = wire.state_from_text(wire.state_to_text(STATE), SPEC).knobs
    assert {name: type(knob.value) for name, knob in read.items()} == {"tau": float, "k": int, "mix": bool, "by": str}
    with pytest.raises(WireError, match=r"Knob.value cannot be None"):
        wire.state_from_json({**wire.state_to_json(STATE), "knobs": {"tau": {"value": None}}}, SPEC)


def test_a_nan_in_a_state_is_valid_json() -> None:
    text = wire.state_to_text(replace(STATE, loss=math.nan))
    assert json.loads(text, parse_constant=pytest.fail)["loss"] == "NaN"


def test_every_command_and_every_event_has_a_word() -> None:
    assert set(wire.OPS.values()) == set(get_args(Command))
    assert set(wire.EVENT_KINDS.values()) == set(get_args(Event))


def test_the_words_in_journals_stay_what_they_are() -> None:
    assert {"lr_scaled", "paused", "phase_promoted", "validation_completed", "run_failed"} <= set(wire.EVENT_KINDS)
    assert wire.command_to_json(c.SetLossWeight("dice", 2.0)) == {"op": "set-weight", "term": "dice", "value": 2.0}
    assert wire.kind_of(e.LrScaled(1, 2, 3)) == "lr_scaled"


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ({"op": "explode"}, "no command is called 'explode'"),
        ({}, "no command is called None"),
        (["pause"], "no command is called"),
        ({"op": "step", "num_steps": "many"}, "RunSteps.num_steps"),
        ({"op": "set-lr"}, "SetLr.value is missing"),
    ],
)
def test_a_command_that_makes_no_sense_is_named(value: Any, complaint: str) -> None:
    with pytest.raises(WireError, match=complaint):
        wire.command_from_json(value)


def test_an_unknown_event_is_named() -> None:
    with pytest.raises(WireError, match="no event is called 'exploded'"):
        wire.event_from_text("exploded", "{}")


def test_a_refusal_tells_what_was_asked() -> None:
    refusal = wire.refusal_of(c.SetLossWeight("dice", -1.0))
    assert refusal == e.CommandRefused(op="set-weight", args={"term": "dice", "value": -1.0})
    assert wire.event_from_text("command_refused", wire.event_to_text(refusal)) == refusal


def test_a_spec_survives_the_journal() -> None:
    spec = replace(SPEC, unsupported=(Unsupported("validate", "your loop validates; call cockpit.validated"),))
    assert wire.spec_from_json(json.loads(json.dumps(wire.spec_to_json(spec)))) == spec


def test_a_spec_of_an_older_journal_supports_every_command() -> None:
    fields = wire.spec_to_json(SPEC)
    del fields["unsupported"]
    assert wire.spec_from_json(fields) == SPEC and not any(SPEC.why_unsupported(op) for op in wire.OPS)


def test_events_of_earlier_versions_are_read_with_present_names() -> None:
    validated = wire.event_from_text(
        "validation_completed", '{"loss": 1.5, "miou": 0.4, "iou_target": 0.6, "seconds": 2.0}'
    )
    assert validated == e.ValidationCompleted(1.5, {"miou": 0.4, "iou_target": 0.6}, 2.0)
    doubted = wire.event_from_text("validation_completed", '{"loss": "NaN", "metrics": {}, "seconds": 2.0}')
    assert isinstance(doubted, e.ValidationCompleted) and doubted.loss is not None and math.isnan(doubted.loss)
    saved = '{"path": "step-00000010.pt", "kind": "best", "loss": 1.5, "miou": 0.4, "good": true}'
    assert wire.event_from_text("checkpoint_saved", saved) == e.CheckpointSaved(
        "step-00000010.pt", "best", 1.5, 0.4, True
    )
    with pytest.raises(WireError):
        wire.event_from_text("checkpoint_saved", "[1]")
