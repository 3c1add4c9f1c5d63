"""Dialogs by mouse: buttons and rows do what the keys do."""

from __future__ import annotations

import pytest
from textual.widgets import Button, OptionList

from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.events import Status
from tests.dialogs.conftest import RED
from tests.dialogs.screen import SIZE, press, raise_alert

CLICKED = [
    ("p", ("#promote",), (c.PromotePhase(),)),
    ("P", ("#confirm",), (c.DemotePhase(),)),
    ("u", ("#confirm",), (c.SetGradientClip(1.0),)),
    ("o", ("#choose",), (c.SetOptimizer("adam"),)),
    ("r", ("#choose", "#confirm"), (c.Rollback("step-00000050.pt"),)),
]


@pytest.mark.parametrize(("key", "clicks", "sent"), CLICKED)
async def test_buttons_do_what_the_keys_do(run, open_screen, key, clicks, sent):
    run.note(e.GradientClipSet(1.0, 0.25), status=Status.APPLIED, actor="cockpit")
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, key)
        for selector in clicks:
            await pilot.click(selector)
            await pilot.pause()
        assert screen.answer() == list(sent)


async def test_forcing_by_mouse_takes_two_different_buttons(run, open_screen):
    run.observe(gate=RED)
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "p")
        assert screen.screen.query_one("#promote", Button).disabled
        assert not screen.screen.query_one("#force", Button).display
        await pilot.click("#arm")
        await pilot.pause()
        assert not screen.screen.query_one("#arm", Button).display
        await pilot.click("#force")
        await pilot.pause()
        assert screen.answer() == [c.PromotePhase(force=True)]


@pytest.mark.parametrize("key", ["p", "P", "w", "r", "o", "b", "k", "N", "G", "6"])
async def test_every_dialog_is_left_by_its_button(run, open_screen, key):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, key)
        await pilot.click("#cancel")
        await pilot.pause()
        assert len(screen.screen_stack) == 1
        assert screen.answer() == []


async def test_a_click_on_a_row_chooses_it(run, open_screen):
    raise_alert(run)
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "A")
        await pilot.click(OptionList, offset=(4, 2))  # the effects stand below their labels: two lines each
        await pilot.pause()
        assert screen.answer() == [c.SetAccumulation(2)]


async def test_a_click_on_a_term_chooses_it_and_typing_goes_on(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "w")
        await pilot.click(OptionList, offset=(4, 1))
        await press(pilot, "2")
        await pilot.click("#submit")
        await pilot.pause()
        assert screen.answer() == [c.SetLossWeight("dice", 2.0)]
