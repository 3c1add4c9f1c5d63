"""Values are judged while they are typed; what cannot be sent keeps the box open."""

from __future__ import annotations

import pytest
from textual.events import Key, Paste
from textual.widgets import Input, Static

from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.events import Status
from tests.dialogs.screen import SIZE, press, rows


@pytest.mark.parametrize(
    ("typed", "verdict"),
    [
        ("0.7", "✓ 0.5 -> 0.7"),
        ("250", "! will be clamped: 0.5 -> 100 (a loss weight's upper bound is 100)"),
        ("-1", "✗ refused: a loss weight must be zero or more, not -1"),
        ("nan", "✗ refused: a loss weight must be zero or more, not nan"),
        ("abc", "✗ 'abc' is not a number"),
        ("", "✗ type a number"),
        ("0.5", "= as it is now"),
    ],
)
async def test_a_weight_is_judged_while_it_is_typed(run, open_screen, typed, verdict):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "w", "down")
        screen.screen.query_one(Input).value = typed
        await pilot.pause()
        assert f"dice: {verdict}" in screen.box
        await press(pilot, "enter")
        sendable = verdict[0] in "✓!"
        assert len(screen.screen_stack) == (1 if sendable else 2)
        assert screen.answer() == ([c.SetLossWeight("dice", float(typed))] if sendable else [])


async def test_the_terms_stand_with_weight_raw_loss_and_chance(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "w")
        listed = {row.split()[0]: row.split()[1:] for row in rows(screen)}
        assert listed["dice"] == ["0.5", "0.6236", "0.6667"]
        assert listed["contour"] == ["0.05", "off", "-"]
        assert screen.screen.query_one(Input).value == "1"
        columns = str(screen.screen.query_one("#columns", Static).render())
        assert {len(row) for row in rows(screen)} == {len(columns)}, "each column ends below its title"


async def test_a_term_can_be_asked_for(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        screen.steering.dispatch("weight", "boundary_aware")
        await pilot.pause()
        assert screen.screen.query_one(Input).value == "0.1"
        await press(pilot, "up")
        assert screen.screen.query_one(Input).value == "0.3"


async def test_a_weight_that_changes_meanwhile_is_shown(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "w")
        run.note(e.LossWeightSet("dice", 0.5, 0.9), status=Status.APPLIED, actor="ada")
        screen.look()
        assert any(row.split()[:2] == ["dice", "0.9"] for row in rows(screen))


@pytest.mark.parametrize(
    ("typed", "said"), [("2.5", "'2.5' is not a whole number"), ("0", "must be at least 1, not 0")]
)
async def test_a_batch_that_cannot_be_keeps_the_box_open(run, open_screen, typed, said):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "b")
        screen.screen.query_one("#value1", Input).value = typed
        await press(pilot, "enter")
        assert said in screen.box
        assert screen.focused is screen.screen.query_one("#value1")
        assert screen.answer() == []


async def test_enter_on_an_unchanged_value_says_that_nothing_is_changed(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "b", "enter")
        assert "nothing is changed: type another value" in screen.box
        assert screen.answer() == []


async def test_an_empty_note_is_not_sent(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "N", "space", "enter")
        assert "✗ refused: the note is empty" in screen.box
        assert screen.answer() == []


async def test_a_note_that_nobody_began_is_no_mistake_yet(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "N")
        assert "refused" not in screen.box
        await press(pilot, "enter")
        assert "✗ refused: the note is empty" in screen.box
        assert screen.answer() == []


async def test_the_lines_of_a_pasted_note_are_joined_by_blanks(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "N", "a", "space")
        screen.screen.query_one(Input).post_message(Paste("seen at night:\n  the loss rises\n\nafter dinner\n"))
        await press(pilot, "!", "enter")
        assert screen.answer() == [c.AddNote("a seen at night: the loss rises after dinner!")]


@pytest.mark.parametrize(
    ("keys", "sent"),
    [
        (("w", "down", "0", ".", "7", "enter"), [c.SetLossWeight("dice", 0.7)]),
        (("b", "2", "tab", "1", "6", "enter"), [c.SetAccumulation(2), c.SetBatchSize(16)]),
    ],
)
async def test_keys_that_come_at_the_same_moment_act_in_their_order(run, open_screen, keys, sent):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, keys[0])
        for key in keys[1:]:
            screen.post_message(Key(key, key if len(key) == 1 else None))
        for _ in range(10):
            await pilot.pause()
        assert screen.answer() == sent
