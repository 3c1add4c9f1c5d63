"""The phases panel shows the ladder, the gate's checks with their values, probation, blending and the autopilot."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cockpit.session.session import Session
from cockpit.ui.panels.status.phases import PhasesPanel
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.state import GateCheck
from engine.tasks.person.spec import LAST_PHASE, PHASES, refinements_of
from tests.panels.stage import Stage
from tests.recorded_run import RecordedRun

Open = Callable[..., Session]


@pytest.mark.parametrize("width", [24, 38, 80, 120])
async def test_the_ladder_the_next_rung_and_the_gate_are_told(
    told: RecordedRun, open_session: Open, width: int
) -> None:
    stage = Stage(PhasesPanel(), open_session())
    async with stage.run_test(size=(width, 40)) as pilot:
        await pilot.pause()
        for number, rung in enumerate(PHASES):
            assert f"{number} {rung.title}" in stage.shown
        assert "▶ 2 + active contour" in stage.shown
        assert "adds" in stage.shown and "contour_detection" in stage.shown
        words = ("gate to phase 3", "✗ blocked, 1 of 5 red", "✗ non-finite steps", "✓ gradient norm", "0.84", "<= 10")
        for word in words:
            assert word in stage.shown
        assert all(line.cell_length <= width for line in stage.panel.lines(width))


@pytest.mark.parametrize("width", [56, 60, 80])
async def test_what_a_rung_adds_is_written_out_on_as_many_lines_as_it_needs(
    told: RecordedRun, open_session: Open, width: int
) -> None:
    stage = Stage(PhasesPanel(), open_session())
    async with stage.run_test(size=(width, 40)) as pilot:
        await pilot.pause()
        lines = stage.shown.splitlines()
        at = next(number for number, line in enumerate(lines) if "1 stable" in line)
        assert "boundary_refinement," in lines[at]
        assert "boundary_aware_loss" in lines[at + 1 if width < 70 else at]
        assert "2 + active contour" in lines[at + 2 if width < 70 else at + 1]


async def test_an_open_gate_says_so_and_can_be_clicked(run: RecordedRun, open_session: Open) -> None:
    run.observe(gate=(GateCheck("steps in phase", "220", ">= 200", True),))
    stage = Stage(PhasesPanel(), open_session())
    async with stage.run_test(size=(60, 20)) as pilot:
        await pilot.pause()
        assert "✓ ready" in stage.shown
        await pilot.click(offset=stage.find("[p]"))
        await pilot.click(offset=stage.find("[T]"))
        await pilot.pause()
        assert stage.asked == [("promote", ""), ("autopilot", "")]


async def test_a_promotion_that_was_asked_for_is_pending(told: RecordedRun, open_session: Open) -> None:
    session = open_session()
    stage = Stage(PhasesPanel(), session)
    async with stage.run_test(size=(80, 24)) as pilot:
        session.send(c.PromotePhase(force=True))
        session.send(c.SetAutopilot(True))
        stage.look()
        await pilot.pause()
        assert "3 + contour detection <- …" in stage.shown
        assert "-> on …" in stage.shown
        told.answer_commands()
        stage.look()
        await pilot.pause()
        assert "▶ 3 + contour detection" in stage.shown
        assert "…" not in stage.shown


async def test_probation_and_the_autopilots_last_word_are_told(told: RecordedRun, open_session: Open) -> None:
    told.note(e.ProbationStarted("step-00000320.pt", 1, 480))
    told.note(e.AutopilotDecided("waits", "the gradient norm is [red]high[/]\x1b"))
    stage = Stage(PhasesPanel(), open_session())
    async with stage.run_test(size=(90, 24)) as pilot:
        await pilot.pause()
        assert "on probation 80 steps left" in stage.shown
        assert "phase 1" in stage.shown and "step-00000320.pt" in stage.shown
        assert r"step 400: waits, the gradient norm is [red]high[/]\x1b" in stage.shown


async def test_a_fresh_refinement_shows_how_far_it_is_blended_in(told: RecordedRun, open_session: Open) -> None:
    (told.directory / "config.yaml").write_text("loss:\n  blend_in_steps: 300\n")
    stage = Stage(PhasesPanel(), open_session())
    async with stage.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "240/300 active_contour_loss" in stage.shown


@pytest.mark.parametrize("content", ["loss: [", "loss:\n  blend_in_steps: many\n", "\x00"])
async def test_a_config_that_cannot_be_read_blends_nothing(told: RecordedRun, open_session: Open, content: str) -> None:
    (told.directory / "config.yaml").write_text(content)
    stage = Stage(PhasesPanel(), open_session())
    async with stage.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "blends in" not in stage.shown
        assert "gate to phase 3" in stage.shown


async def test_the_last_phase_has_no_gate(run: RecordedRun, open_session: Open) -> None:
    run.observe(phase=LAST_PHASE, refinements=refinements_of(LAST_PHASE))
    stage = Stage(PhasesPanel(), open_session())
    async with stage.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "this is the last phase" in stage.shown


async def test_before_the_run_has_begun_it_says_so(open_session: Open) -> None:
    stage = Stage(PhasesPanel(), open_session())
    async with stage.run_test(size=(60, 10)) as pilot:
        await pilot.pause()
        assert "no phase before the run has begun" in stage.shown


async def test_a_narrow_panel_cuts_nothing_of_a_check(run: RecordedRun, open_session: Open) -> None:
    bound = "within 0.02 of the phase's best"
    run.observe(gate=(GateCheck("validation mIoU", "not measured", bound, True),))
    stage = Stage(PhasesPanel(), open_session())
    async with stage.run_test(size=(38, 30)) as pilot:
        await pilot.pause()
        assert f"not measured {bound}" in " ".join(stage.shown.split())
        assert "…" not in stage.shown
