"""Undo with keys: shown before it is done, further back with every press."""

from __future__ import annotations

from cockpit.session.outbox import Outbox
from cockpit.ui.dialogs.gate_dialog import GateDialog
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.events import Status
from tests.dialogs.conftest import RED
from tests.dialogs.screen import SIZE, press


async def test_undoing_twice_walks_back_through_what_was_sent(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "l")
        assert screen.answer() == [c.ScaleLr(0.5)]
        await press(pilot, "o", "1")
        assert screen.answer() == [c.SetOptimizer("adam")]
        await press(pilot, "u")
        assert pilot.app.screen.query_one("#box").border_title == "Undo: optimizer adamw -> adam at step 60"
        assert "Takes back what cockpit did at step 60: optimizer adamw -> adam." in screen.box
        await press(pilot, "enter")
        assert screen.answer() == [c.SetOptimizer("adamw")]
        await press(pilot, "u", "enter")
        assert screen.answer() == [c.ScaleLr(2.0)]
        assert screen.session.state.lr == 3e-3
        await press(pilot, "u")
        assert screen.toasts[-1] == "✗ undo: nothing is left to take back"


async def test_an_undo_on_its_way_is_waited_for(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "l")
        screen.answer()
        await press(pilot, "u", "enter", "u")
        assert screen.toasts[-1] == "✗ undo: the undo before is still on its way"
        assert screen.answer() == [c.ScaleLr(2.0)]


async def test_an_undo_that_the_journal_takes_late_still_counts_as_one(run, open_screen, monkeypatch):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "l")
        screen.answer()
        with monkeypatch.context() as busy:
            busy.setattr(Outbox, "_try", lambda outbox, command: None)
            await press(pilot, "u", "enter")
            assert screen.session.pending[0].id < 0
            screen.look()
            assert "0 s" in screen.strip
        screen.clock.advance(2)
        screen.look()
        assert screen.session.pending[0].id > 0
        assert "2 s" in screen.strip
        assert screen.answer() == [c.ScaleLr(2.0)]
        await press(pilot, "u")
        assert screen.toasts[-1] == "✗ undo: nothing is left to take back"


async def test_what_cannot_be_taken_back_refuses_and_the_next_press_goes_past_it(run, open_screen):
    run.note(e.GradientClipSet(1.0, 0.25), status=Status.APPLIED, actor="ada")
    run.note(e.SamplesExcluded(("a#1",), 0, 1), status=Status.APPLIED, actor="ada")
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "u")
        assert screen.toasts[-1] == (
            "✗ undo: no command takes excluded samples in again (once more: the intervention before it)"
        )
        await press(pilot, "u", "enter")
        assert screen.answer() == [c.SetGradientClip(1.0)]


async def test_a_pause_between_is_no_intervention_to_take_back(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        for key in ("l", "space", "n", "space"):
            await press(pilot, key)
            screen.answer()
        await press(pilot, "u")
        assert pilot.app.screen.query_one("#box").border_title == "Undo: lower LR at step 60"
        assert "LR 1.50e-03 -> 3.00e-03" in screen.box
        await press(pilot, "enter")
        assert screen.answer() == [c.ScaleLr(2.0)]


async def test_an_undo_that_the_rule_book_refuses_says_why(run, open_screen):
    run.note(e.RefinementEnabled("subpixel_conv"), status=Status.APPLIED, actor="ada")
    run.observe(refinements=frozenset())
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "u")
        assert screen.toasts[-1].startswith("✗ undo: subpixel_conv on: cannot be taken back, ")


async def test_what_is_not_restored_is_a_sentence_of_its_own(run, open_screen):
    run.note(e.RefinementDisabled("boundary_aware_loss"), status=Status.APPLIED, actor="ada")
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "u")
        assert "It starts with fresh moments and is blended in." in screen.box.splitlines()


async def test_a_demotion_is_taken_back_through_the_gate(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "P", "enter")
        assert screen.answer() == [c.DemotePhase()]
        run.observe(gate=RED)
        screen.look()
        await press(pilot, "u")
        assert isinstance(screen.screen, GateDialog)
        title = str(screen.screen.query_one("#box").border_title)
        assert title == "Undo: demote to phase 0 at step 60, through the gate"
        await press(pilot, "enter", "f", "F")
        assert screen.answer() == [c.PromotePhase(force=True)]
        await press(pilot, "u")
        assert screen.toasts[-1] == "✗ undo: nothing is left to take back"
