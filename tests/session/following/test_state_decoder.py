"""States decoded in sequence equal those decoded individually."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from cockpit.session.following.state_decoder import StateDecoder
from engine.protocol import wire
from engine.protocol.codec import WireError
from engine.protocol.events import Activity
from engine.protocol.state import GateCheck, LrPin, Probation
from engine.tasks.person.spec import SPEC
from tests.person_state import person_state


def decoder() -> StateDecoder:
    reader = StateDecoder()
    reader.describe(SPEC)
    return reader


STATES = [
    person_state("a"),
    person_state("a", step=1, loss=math.nan, refinements=frozenset({"x", "y"})),
    person_state("a", step=2, loss=0.5, gate=(GateCheck("steps", "1", ">= 2", False),), lr_pin=LrPin(1e-5, 0.5)),
    person_state("a", activity=Activity.PAUSED, probation=Probation("c.pt", 1, 50), loss_weights={"dice": 0.5}),
    person_state("b", excluded_samples=frozenset({"f#1"}), grad_norm=math.inf),
]


def test_each_state_is_decoded_whole_from_what_changed() -> None:
    reader = decoder()
    for state in [*STATES, *STATES[-2::-1]]:
        decoded = reader.decode(wire.state_to_text(state))

        assert decoded is not None and wire.state_to_text(decoded) == wire.state_to_text(state)


def test_the_same_text_is_no_new_state() -> None:
    reader = decoder()
    text = wire.state_to_text(STATES[2])

    assert reader.decode(text) == STATES[2] and reader.decode(text) is None


def test_another_spec_makes_another_state_of_the_same_text() -> None:
    reader = decoder()
    text = wire.state_to_text(STATES[2])
    reader.decode(text)

    reader.describe(replace(SPEC, name="other"))
    assert reader.decode(text) == replace(STATES[2], spec=replace(SPEC, name="other"))
    reader.describe(replace(SPEC, name="other"))
    assert reader.decode(text) is None


def test_fields_that_went_away_take_their_defaults() -> None:
    reader = decoder()
    reader.decode(wire.state_to_text(replace(STATES[0], step=7, phase=3)))
    fields = json.loads(wire.state_to_text(replace(STATES[0], step=8)))
    del fields["phase"]

    assert reader.decode(json.dumps(fields)) == replace(STATES[0], step=8)


def test_fields_of_a_newer_program_are_left_out() -> None:
    reader = decoder()
    reader.decode(wire.state_to_text(STATES[0]))
    fields = json.loads(wire.state_to_text(STATES[2])) | {"mood": "calm"}

    assert reader.decode(json.dumps(fields)) == STATES[2]


@pytest.mark.parametrize("text", ["", "[]", '{"run": 5}', '{"run": "a", "step": "many"}'])
def test_a_line_that_is_no_state_changes_nothing(text: str) -> None:
    reader = decoder()
    reader.decode(wire.state_to_text(STATES[0]))
    with pytest.raises(WireError):
        reader.decode(text)

    assert reader.decode(wire.state_to_text(STATES[2])) == STATES[2]
