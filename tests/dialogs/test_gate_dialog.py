"""The gate shows its checks as they are, and is forced by two different keys only."""

from __future__ import annotations

from cockpit.ui.dialogs.gate_dialog import GateDialog
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.state import GateCheck
from tests.dialogs.conftest import GREEN, RED
from tests.dialogs.screen import SIZE, press

LONG = "under 2.18, or under 2.303 and falling"
PENDING = (RED[0], GateCheck("loss below chance", "1.234, falling (61 of 100 steps)", LONG, False, measured=False))


async def test_the_gate_shows_every_check_with_its_value_and_mark_and_what_comes_on(run, open_screen):
    run.observe(gate=RED)
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "p")
        lines = screen.box.splitlines()
        assert "✓ steps in phase    220  >= 200" in lines
        assert "✗ non-finite steps    2  0" in lines
        assert "Phase 2 of 4 adds active_contour_loss" in lines
        assert "  loss active_contour: weight 0.05, chance 0.9" in lines
        assert "A checkpoint is written first" in screen.box and "to phase 1 by itself" in screen.box
        assert "✗ gate blocked, 1 check is red: f goes on to a forced promotion" in lines


async def test_enter_does_nothing_at_a_red_gate_and_says_so(run, open_screen):
    run.observe(gate=RED)
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "p", "enter", "F", "enter")
        assert isinstance(screen.screen, GateDialog)
        assert "enter does nothing" in screen.box
        assert screen.answer() == []


async def test_forcing_takes_two_different_keys_and_says_that_it_is_recorded(run, open_screen):
    run.observe(gate=RED)
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "p", "f", "f", "enter")
        assert isinstance(screen.screen, GateDialog)
        assert "F promotes all the same, and it is recorded as forced" in screen.box
        await press(pilot, "F")
        assert screen.answer() == [c.PromotePhase(force=True)]
        assert "forced against a red check" in screen.toasts[0]


async def test_a_check_that_turns_green_opens_the_gate_that_is_shown(run, open_screen):
    run.observe(gate=RED)
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "p", "f")
        run.observe(gate=GREEN)
        screen.look()
        assert "✓ gate ready: enter promotes" in screen.box
        await press(pilot, "F")
        assert isinstance(screen.screen, GateDialog)
        await press(pilot, "enter")
        assert screen.answer() == [c.PromotePhase()]


async def test_a_check_that_turns_red_shuts_the_gate_that_is_shown(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "p")
        run.observe(gate=RED)
        screen.look()
        await press(pilot, "enter")
        assert isinstance(screen.screen, GateDialog)
        assert screen.answer() == []


async def test_a_gate_says_so_when_the_run_ends_meanwhile(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "p")
        run.note(e.RunFinished("all steps done", 3.0))
        screen.look()
        assert "✗ refused: the run is finished" in screen.box
        await press(pilot, "enter", "f", "F")
        assert isinstance(screen.screen, GateDialog)


async def test_a_gate_that_nothing_was_measured_for_says_so(run, open_screen):
    run.observe(gate=(), guardian=False)
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "p")
        assert "no check has been measured yet" in screen.box
        assert "the guardian is off" in screen.box


async def test_the_last_phase_has_no_gate(run, open_screen):
    run.observe(phase=4)
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "p")
        assert len(screen.screen_stack) == 1
        assert screen.toasts == ["✗ promote: phase 4 is the last"]


async def test_what_to_press_is_in_sight_on_the_smallest_terminal(run, open_screen):
    run.observe(gate=RED)
    screen = open_screen()
    async with screen.run_test(size=(60, 18)) as pilot:
        await press(pilot, "p")
        box, said = screen.screen.query_one("#box").region, screen.screen.query_one("#press").region
        assert said.height and box.contains_region(said)


async def test_a_check_too_long_for_one_line_goes_on_below_its_name(run, open_screen):
    run.observe(gate=PENDING)
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "p")
        lines = screen.box.splitlines()
        at = lines.index("- loss below chance")
        assert lines[at + 1 : at + 3] == [
            "    1.234, falling (61 of 100 steps)  under 2.18, or under 2.303 and",
            "    falling",
        ]


async def test_the_buttons_are_in_sight_however_many_checks_there_are(run, open_screen):
    run.observe(gate=6 * PENDING)
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "p")
        box, buttons = screen.screen.query_one("#box").region, screen.screen.query_one("#buttons").region
        assert buttons.height and box.contains_region(buttons)
