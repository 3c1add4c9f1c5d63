"""The safety panel counts what went wrong, and says what there is to go back to and how much work that would cost."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cockpit.session.session import Session
from cockpit.ui.panels.status.safety import SafetyPanel
from engine.protocol import commands as c
from engine.protocol import events as e
from tests.console.scripted import FakeClock
from tests.panels.stage import Stage
from tests.recorded_run import RecordedRun

Open = Callable[..., Session]


def fact(stage: Stage, label: str) -> str:
    """Return the text next to or below `label`."""
    (line,) = (line for line in stage.shown.splitlines() if line.startswith(label))
    return line.removeprefix(label).strip()


async def test_every_count_stands_beside_its_word(told: RecordedRun, open_session: Open) -> None:
    stage = Stage(SafetyPanel(), open_session())
    async with stage.run_test(size=(80, 20)) as pilot:
        await pilot.pause()
        assert fact(stage, "guardian  ") == "on, auto-recovery [G]"
        assert fact(stage, "skipped steps") == "2, last at step 251"
        assert fact(stage, "spikes") == "1, last at step 281"
        assert fact(stage, "clipped") == "12 % of the newest steps, at 1"
        assert fact(stage, "loss clamps") == "4"
        assert fact(stage, "guardian rollbacks") == "0"
        assert fact(stage, "last good") == "step-00000200.pt, 200 steps ago"
        assert fact(stage, "last checkpoint") == "step-00000320.pt, 80 steps ago"
        assert fact(stage, "last fault").startswith("step 251: div in active_contour (forward)")
        assert fact(stage, "disk") == "no trouble"


@pytest.mark.parametrize("width", [24, 40, 80, 120, 200])
async def test_it_fits_any_width(told: RecordedRun, open_session: Open, width: int) -> None:
    stage = Stage(SafetyPanel(), open_session())
    async with stage.run_test(size=(width, 50)) as pilot:
        await pilot.pause()
        assert all(line.cell_length <= width for line in stage.panel.lines(width))
        for word in ("guardian", "skipped steps", "last good", "excluded samples", "data wait", "disk"):
            assert word in stage.shown


async def test_what_a_rollback_would_cost_is_told_in_time_too(
    told: RecordedRun, open_session: Open, clock: FakeClock
) -> None:
    session = open_session()
    for step in (402, 404, 406):
        clock.advance(1.0)
        told.train(step)
        session.poll()
    stage = Stage(SafetyPanel(), session)
    async with stage.run_test(size=(80, 20)) as pilot:
        await pilot.pause()
        assert fact(stage, "last good") == "step-00000200.pt, 206 steps (1 min 43 s) ago"
        assert fact(stage, "data wait").endswith("% of the time")


async def test_validations_of_averaged_weights_are_told_and_those_of_trained_ones_are_not(
    told: RecordedRun, open_session: Open
) -> None:
    stage = Stage(SafetyPanel(), open_session())
    async with stage.run_test(size=(80, 20)) as pilot:
        await pilot.pause()
        assert "averaged" not in stage.shown
        told.note(e.ValidationCompleted(1.0, {"miou": 0.5}, 2.0, "ema"))
        stage.look()
        await pilot.pause()
        assert fact(stage, "validated") == "averaged weights (ema)"


async def test_what_the_guardian_did_and_what_the_disk_did_is_told(told: RecordedRun, open_session: Open) -> None:
    told.observe(rollbacks=1)
    told.note(e.RolledBack("step-00000200.pt", 400, 200), actor="guardian")
    told.note(e.RolledBack("step-00000100.pt", 400, 100), actor="cockpit")
    told.note(e.SamplesExcluded(("a", "b"), 0, 2), actor="guardian")
    told.note(e.AlertRaised("journal", "the journal cannot be written: [red]disk full[/]\x1b", "free disk"))
    stage = Stage(SafetyPanel(), open_session())
    async with stage.run_test(size=(110, 20)) as pilot:
        await pilot.pause()
        assert "1, last at step 400" in stage.shown
        assert r"the journal cannot be written: [red]disk full[/]\x1b, last at step 400" in stage.shown
        assert any("excluded samples" in line and " 2" in line for line in stage.shown.splitlines())


async def test_the_guardian_is_switched_by_a_click_and_pending_until_it_is(
    told: RecordedRun, open_session: Open
) -> None:
    session = open_session()
    stage = Stage(SafetyPanel(), session)
    async with stage.run_test(size=(80, 20)) as pilot:
        await pilot.pause()
        await pilot.click(offset=stage.find("[G]"))
        await pilot.pause()
        assert stage.asked == [("guardian", "")]
        session.send(c.SetGuardian(False))
        stage.look()
        await pilot.pause()
        assert "on, auto-recovery -> off …" in stage.shown
        told.answer_commands()
        stage.look()
        await pilot.pause()
        assert "off, watches only" in stage.shown


async def test_a_step_can_be_clicked(told: RecordedRun, open_session: Open) -> None:
    stage = Stage(SafetyPanel(), open_session())
    async with stage.run_test(size=(80, 20)) as pilot:
        await pilot.pause()
        await pilot.click(offset=stage.find("step 281"))
        await pilot.pause()
        assert stage.jumped == [281]


async def test_a_run_that_has_just_begun_has_nothing_to_go_back_to(run: RecordedRun, open_session: Open) -> None:
    run.begin()
    stage = Stage(SafetyPanel(), open_session())
    async with stage.run_test(size=(80, 20)) as pilot:
        await pilot.pause()
        assert fact(stage, "last good") == "none yet"
        assert fact(stage, "last fault") == "none"
        assert fact(stage, "data wait") == "-"


async def test_a_skipped_step_without_a_named_fault_says_so(run: RecordedRun, open_session: Open) -> None:
    run.begin()
    run.observe(skipped_steps=1)
    stage = Stage(SafetyPanel(), open_session())
    async with stage.run_test(size=(80, 20)) as pilot:
        await pilot.pause()
        assert fact(stage, "last fault") == "none named"


async def test_before_the_run_has_begun_it_says_so(open_session: Open) -> None:
    stage = Stage(SafetyPanel(), open_session())
    async with stage.run_test(size=(60, 10)) as pilot:
        await pilot.pause()
        assert "no values before the run has begun" in stage.shown
