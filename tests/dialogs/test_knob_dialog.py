"""The dialog for knobs: which one, which value, and what the rules say of it before it is sent."""

from __future__ import annotations

import pytest
from textual.widgets import Input, Static

from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.events import Status
from engine.protocol.state import Knob
from tests.dialogs.screen import SIZE, press, rows


def typed(screen) -> str:
    return screen.screen.query_one(Input).value


async def test_every_knob_stands_with_its_value_and_its_range(open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "K")
        assert [row.split(maxsplit=2) for row in rows(screen)] == [
            ["tau", "0.7", "0.1..2"],
            ["mixup", "off", "on, off"],
            ["mode", "soft", "soft, hard, off"],
        ]
        assert typed(screen) == "0.7" and "as it is now" in screen.box
        columns = str(screen.screen.query_one("#columns", Static).render())
        assert columns.index("value") == rows(screen)[0].index("0.7")
        assert columns.index("takes") == rows(screen)[0].index("0.1..2")


@pytest.mark.parametrize(
    ("keys", "sent"),
    [
        (("1", ".", "5"), c.SetKnob("tau", 1.5)),
        (("down",), c.SetKnob("mixup", True)),
        (("down", "o", "n"), c.SetKnob("mixup", True)),
        (("up",), c.SetKnob("mode", "hard")),
        (("up", "right"), c.SetKnob("mode", False)),
        (("up", "left", "left"), c.SetKnob("mode", False)),
        (("down", "down", "o", "f", "f"), c.SetKnob("mode", False)),
    ],
    ids=str,
)
async def test_enter_sends_what_is_typed_or_chosen(open_screen, keys, sent):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "K", *keys, "enter")
        assert screen.answer() == [sent]
        assert len(screen.toasts) == 1 and "applied at step 60" in screen.toasts[0]
        await press(pilot, "u", "enter")
        former = {"tau": 0.7, "mixup": False, "mode": "soft"}[sent.name]
        assert screen.answer() == [c.SetKnob(sent.name, former)]
        assert screen.session.state.knobs[sent.name].value == former


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (("9",), "will be clamped: tau 0.7 -> 2 (tau's upper bound is 2)"),
        (("x",), "refused: tau takes a number in 0.1..2, not x"),
        (("backspace",), "type a value"),
        (("0", ".", "7"), "= as it is now"),
        (("down", "left"), "= as it is now"),
        (("down", "m"), "refused: mixup takes on or off, not m"),
    ],
    ids=str,
)
async def test_the_box_says_what_enter_would_do(open_screen, keys, said):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "K", *keys)
        assert said in screen.box
        await press(pilot, "enter")
        assert (len(screen.screen_stack) == 1) is said.startswith("will be clamped")


async def test_left_and_right_edit_a_number(open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "K", "end", "left", "9")
        assert typed(screen) == "0.97"


async def test_a_knob_that_is_declared_or_changed_meanwhile_is_shown(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "K", "down")
        run.note(e.KnobSet("tau", 0.7, 1.25), status=Status.APPLIED, actor="ada")
        run.note(e.KnobDeclared("depth", 3, 1, 8))
        screen.look()
        await pilot.pause()
        assert rows(screen)[0].split()[:2] == ["tau", "1.25"] and rows(screen)[3].split() == ["depth", "3", "1..8"]
        assert "mixup" in screen.box or typed(screen) == "on"


async def test_the_knob_of_a_click_is_the_one_to_begin_with(open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        screen.steering.dispatch("knob", "mode")
        await pilot.pause()
        assert typed(screen) == "hard"


async def test_a_run_without_knobs_says_so(run, open_screen):
    run.observe(knobs={})
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "K")
        assert screen.toasts == ["✗ knob: this run has no knobs: its code declares none"]
        assert not screen.steering.effect("knob").enabled


async def test_an_odd_name_is_escaped(run, open_screen):
    run.observe(knobs={"a\x1b[31m" + "b" * 40: Knob("[red]\n", choices=("[red]\n", "x"))})
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "K")
        assert rows(screen)[0].isprintable() and "\\x1b" in rows(screen)[0]
