"""What is not easily taken back is asked about once more, with its effect."""

from __future__ import annotations

import pytest

from cockpit.ui.dialogs.gate_dialog import GateDialog
from engine.protocol import commands as c
from tests.dialogs.screen import SIZE, press


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("P", "phase 1 -> 0, off: boundary_refinement, boundary_aware_loss"),
        ("1", "Without boundary_refinement the run is in phase 0 instead of 1."),
        ("4", "contour_detection belongs to phase 3, the run is in phase 1"),
        ("6", "progressive_upsampling is in no phase, the run is in phase 1"),
        ("G", "nothing lowers the learning rate"),
        ("T", "It never forces a gate."),
    ],
)
async def test_what_is_not_easily_taken_back_is_asked_about_with_its_effect(run, open_screen, key, said):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, key)
        assert said in screen.box
        await press(pilot, "n")
        assert len(screen.screen_stack) == 1
        assert screen.answer() == []


async def test_what_belongs_to_the_phase_comes_on_again_without_a_question(run, open_screen):
    run.observe(phase=2, refinements=run.state.refinements | {"active_contour_loss"})
    run.observe(refinements=run.state.refinements - {"active_contour_loss"})
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "3")
        assert screen.answer() == [c.EnableRefinement("active_contour_loss")]


async def test_the_guardian_comes_on_without_a_question(run, open_screen):
    run.observe(guardian=False)
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "G")
        assert screen.answer() == [c.SetGuardian(True)]


async def test_a_confirmation_follows_what_happens_meanwhile(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "G")
        run.observe(guardian=False)
        screen.look()
        assert "✗ refused: the guardian is off already" in screen.box
        await press(pilot, "enter")
        assert len(screen.screen_stack) == 2
        assert screen.answer() == []


async def test_a_command_from_a_panel_is_asked_about_like_one_from_a_key(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        screen.steering.steer(c.DisableRefinement("boundary_refinement"))
        await pilot.pause()
        assert len(screen.screen_stack) == 2
        await press(pilot, "enter")
        assert screen.answer() == [c.DisableRefinement("boundary_refinement")]
        screen.steering.steer(c.PromotePhase(force=True))
        await pilot.pause()
        assert isinstance(screen.screen, GateDialog)
        assert screen.answer() == []


async def test_a_refinement_can_be_toggled_by_its_name(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        screen.steering.dispatch("toggle", "boundary_refinement")
        await press(pilot, "enter")
        assert screen.answer() == [c.DisableRefinement("boundary_refinement")]
        screen.steering.dispatch("toggle", "boundary")
        assert screen.toasts[-1] == "✗ toggle: no refinement is called 'boundary'"
