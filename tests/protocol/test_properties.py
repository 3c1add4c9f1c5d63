"""Properties of codec, wire and rules over generated values, in place of grids of hand-made ones."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import fields, replace
from functools import reduce
from typing import Any, get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.errors import UserError
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol import wire
from engine.protocol.codec import WireError, from_json, from_text, to_json, to_text
from engine.protocol.commands import Command, KnobValue
from engine.protocol.decide import decide
from engine.protocol.events import Activity, Event, Status, SteeringEvent
from engine.protocol.evolve import evolve
from engine.protocol.state import Knob, RunState
from engine.protocol.words.command_syntax import COMMAND_WORDS, parse_command
from tests.protocol.test_codec import PLAIN, Everything, Point
from tests.protocol.test_decide import ONE_OF_EACH

PROPERTY = settings(derandomize=True, deadline=None, max_examples=100)

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)

EVENTS = {kind: st.from_type(kind) for kind in get_args(Event)} | {
    e.CommandRefused: st.builds(e.CommandRefused, args=st.dictionaries(st.text(), JSON_VALUES)),
}
FINITE = st.floats(allow_nan=False, allow_infinity=False)
KNOBS: dict[str, Knob] = {
    "tau": Knob(0.7, 0.1, 2.0),
    "k": Knob(3, 0.5, 8.5),
    "free": Knob(1.0),
    "mix": Knob(False),
    "by": Knob("soft", choices=("soft", "hard", "on", "1e3")),
}
KNOB_VALUES = FINITE | st.floats(-1.0, 3.0) | st.integers() | st.integers(-2, 10) | st.booleans() | st.text(max_size=5)
SET_KNOB = st.builds(
    c.SetKnob,
    st.sampled_from((*KNOBS, "unknown")),
    KNOB_VALUES | st.sampled_from(("on", "FALSE", "hard", "1e3", "nan", "-inf", "2.5")),
)
COMMANDS = st.one_of([SET_KNOB if kind is c.SetKnob else st.from_type(kind) for kind in get_args(Command)])
ENABLED = RunState("r", activity=Activity.RUNNING, knobs=KNOBS)
RUNNING = st.builds(
    lambda state, lr, scale, sizes: replace(state, lr=lr, lr_scale=scale, batch_size=sizes[0], accumulation=sizes[1]),
    st.builds(
        RunState,
        run=st.just("r"),
        activity=st.sampled_from(Activity),
        gradient_clip=st.floats(0.01, 100.0),
        refinements=st.frozensets(st.sampled_from(("boundary_refinement", "contour_detection", "subpixel_conv"))),
        good_checkpoint=st.sampled_from(("", "step-00000120.pt")),
        checkpoints=st.just(("step-00000120.pt",)),
        guardian=st.booleans(),
        autopilot=st.booleans(),
        steps_until_pause=st.none() | st.integers(1, 5),
        knobs=st.just(KNOBS),
    ),
    st.floats(1e-9, 1e-2),
    st.floats(1e-3, 1.0),
    st.tuples(st.integers(1, 1024), st.integers(1, 1024)),
)


def each_of(values: list[Any]) -> Callable[[Any], Any]:
    """Try each of `values` too."""
    return lambda test: reduce(lambda inner, value: example(value)(inner), values, test)


# --- codec ------------------------------------------------------------------------------


@PROPERTY
@given(st.floats())
@example(5e-6)
@example(1 / 3)
@example(1e-300)
@example(-0.0)
@example(2**53 + 1.0)
def test_a_float_is_kept_to_the_last_bit(value: float) -> None:
    assert repr(from_json(Point, from_text(to_text(Point(value)))).x) == repr(value)


@PROPERTY
@given(st.builds(Everything, held=st.dictionaries(st.text(), st.integers()), other=st.just({})))
def test_a_value_survives_the_way_out_and_back(value: Everything) -> None:
    assert repr(from_json(Everything, from_text(to_text(value)))) == repr(_read(value))


def _read(value: Everything) -> Everything:
    """`value` with its sets and mappings in the order in which they are written."""
    return from_json(Everything, to_json(value))


@PROPERTY
@given(st.builds(Everything, other=st.dictionaries(st.text(), st.integers())))
def test_the_text_is_strict_ascii_json_on_one_line(value: Everything) -> None:
    text = to_text(value)
    assert text.isascii() and "\n" not in text
    json.loads(text, parse_constant=pytest.fail)


@PROPERTY
@given(st.sampled_from([field.name for field in fields(Everything)]), JSON_VALUES)
def test_a_value_of_any_type_is_read_or_named(name: str, value: Any) -> None:
    try:
        read = from_json(Everything, {**PLAIN, name: value})
    except WireError as error:
        assert name in str(error) or "Point" in str(error)
    else:
        assert to_json(read) is not None


@PROPERTY
@given(st.text())
def test_any_text_is_json_or_refused(text: str) -> None:
    try:
        from_text(text)
    except WireError as error:
        assert "not JSON" in str(error)


# --- wire -------------------------------------------------------------------------------


@PROPERTY
@given(COMMANDS)
@each_of(ONE_OF_EACH)
@example(c.AddNote("tab\tand \x1b[31m"))
@example(c.Rollback("best.pt"))
@example(c.SetLr(math.nan))
def test_a_command_survives_the_wire(command: Command) -> None:
    assert repr(wire.command_from_text(wire.command_to_text(command))) == repr(command)


@pytest.mark.parametrize("kind", get_args(Event), ids=lambda kind: kind.__name__)
def test_an_event_of_any_content_survives_the_wire(kind: type[Event]) -> None:
    @settings(PROPERTY, max_examples=15)
    @given(EVENTS[kind])
    def survives(event: Event) -> None:
        read = wire.event_from_text(wire.kind_of(event), wire.event_to_text(event))
        assert wire.event_to_text(read) == wire.event_to_text(event)

    survives()


@PROPERTY
@given(JSON_VALUES, st.sampled_from(sorted(wire.OPS)), st.dictionaries(st.text(max_size=8), JSON_VALUES, max_size=3))
def test_any_json_is_a_command_or_named(value: Any, op: str, more: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        wire.command_from_json(value)
    try:
        assert isinstance(wire.command_from_json({**more, "op": op}), Command)
    except WireError as error:
        assert str(error)


# --- rules ------------------------------------------------------------------------------


@settings(PROPERTY, max_examples=200)
@given(RUNNING, COMMANDS, st.floats(0, 100))
def test_a_command_ends_applied_clamped_or_refused_and_says_why(
    state: RunState, command: Command, at_epoch: float
) -> None:
    outcome = decide(state, command, at_epoch=at_epoch)
    assert (outcome.event is None) == (outcome.status is Status.REFUSED)
    assert bool(outcome.reason) == (outcome.status is not Status.APPLIED)


@settings(PROPERTY, max_examples=200)
@given(RUNNING, COMMANDS)
def test_what_a_command_sets_lies_within_the_limits(state: RunState, command: Command) -> None:
    event = decide(state, command).event
    after = state if event is None else evolve(state, event, 7)
    limits = state.limits
    assert limits.lr_min * 0.999 <= after.lr <= limits.lr_max * 1.001
    assert 1 <= after.batch_size <= limits.max_batch_size
    assert 1 <= after.accumulation <= 1024
    assert 0 < after.gradient_clip <= 1000
    assert all(0 <= weight <= 100 for weight in after.loss_weights.values())


@settings(PROPERTY, max_examples=200)
@given(RUNNING, SET_KNOB | st.builds(c.SetKnob, st.sampled_from(sorted(KNOBS)), st.floats()))
def test_a_knob_keeps_its_type_and_its_range_and_can_be_set_back(state: RunState, command: c.SetKnob) -> None:
    event = decide(state, command).event
    if event is None:
        return
    assert isinstance(event, e.KnobSet) and event.before == KNOBS[event.name].value != event.after
    after = evolve(state, event, 7)
    assert after.knobs[event.name].accepts(event.after)
    back = decide(after, c.SetKnob(event.name, event.before))
    assert back.status is Status.APPLIED and back.event is not None
    assert evolve(after, back.event, 8).knobs == KNOBS


@PROPERTY
@given(st.sampled_from(sorted(KNOBS)), KNOB_VALUES)
def test_a_knob_typed_as_it_is_shown_takes_the_value(name: str, value: KnobValue) -> None:
    if KNOBS[name].accepts(value):
        typed = parse_command(["set-knob", name, value if isinstance(value, str) else to_text(value)])
        assert decide(ENABLED, typed) == decide(ENABLED, c.SetKnob(name, value))


@pytest.mark.parametrize("kind", get_args(SteeringEvent), ids=lambda kind: kind.__name__)
def test_steering_done_twice_is_done_once(kind: type[Event]) -> None:
    @settings(PROPERTY, max_examples=15)
    @given(RUNNING, EVENTS[kind])
    def is_idempotent(state: RunState, event: Event) -> None:
        once = evolve(state, event, 7)
        assert wire.state_to_text(evolve(once, event, 7)) == wire.state_to_text(once)

    is_idempotent()


# --- command line -----------------------------------------------------------------------


@settings(PROPERTY, max_examples=200)
@given(st.sampled_from(sorted(COMMAND_WORDS)), st.lists(st.text(max_size=12), max_size=3))
def test_any_words_are_a_command_or_get_one_sentence(name: str, arguments: list[str]) -> None:
    try:
        command = parse_command([name, *arguments])
    except UserError as error:
        assert str(error)
    else:
        assert isinstance(command, Command)
