"""The knobs panel: a line for each knob, and no line at all in a run without one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cockpit.session.session import Session
from cockpit.ui.panels.status.knobs import KnobsPanel
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.events import Status
from tests.panels.stage import Stage
from tests.recorded_run import RecordedRun

Open = Callable[..., Session]


@pytest.fixture
def session(told: RecordedRun, open_session: Open) -> Session:
    for declared in (
        e.KnobDeclared("tau", 0.7, 0.1, 2.0),
        e.KnobDeclared("depth", 3, low=1),
        e.KnobDeclared("cap", 3, high=9),
        e.KnobDeclared("free", 1.0),
        e.KnobDeclared("mixup", False),
        e.KnobDeclared("mode\x1b", "[red]", choices=("[red]", "x")),
    ):
        told.note(declared)
    return open_session()


async def test_each_knob_has_its_value_and_its_range(session: Session) -> None:
    stage = Stage(KnobsPanel(), session)
    async with stage.run_test(size=(60, 12)) as pilot:
        await pilot.pause()
        assert [line.strip() for line in stage.shown.splitlines() if line.strip()][1:] == [
            "tau 0.7 (0.1..2)",
            "depth 3 (>= 1)",
            "cap 3 (<= 9)",
            "free 1 (any number)",
            "mixup off (on, off)",
            "mode\\x1b [red] ([red], x)",
        ]


async def test_a_value_on_its_way_is_shown_until_it_is_set(told: RecordedRun, session: Session) -> None:
    stage = Stage(KnobsPanel(), session)
    async with stage.run_test(size=(60, 12)) as pilot:
        assert session.send(c.SetKnob("tau", 1.5)).status is Status.APPLIED
        stage.look()
        await pilot.pause()
        assert "tau 0.7 -> 1.5" in stage.shown
        told.answer_commands()
        stage.look()
        await pilot.pause()
        assert "tau 1.5 (0.1..2)" in stage.shown


async def test_a_run_without_knobs_has_no_panel_until_one_is_declared(told: RecordedRun, open_session: Open) -> None:
    stage = Stage(KnobsPanel(), open_session())
    async with stage.run_test(size=(60, 12)) as pilot:
        await pilot.pause()
        assert stage.shown.strip() == ""
        told.note(e.KnobDeclared("tau", 0.7, 0.1, 2.0))
        stage.look()
        await pilot.pause()
        assert "Knobs" in stage.shown and "tau 0.7 (0.1..2)" in stage.shown


@pytest.mark.parametrize("width", [12, 24, 40])
async def test_it_fits_any_width(session: Session, width: int) -> None:
    stage = Stage(KnobsPanel(), session)
    async with stage.run_test(size=(width, 12)) as pilot:
        await pilot.pause()
        assert all(line.cell_length <= width for line in stage.panel.lines(width))


async def test_a_click_opens_the_dialog_of_that_knob(session: Session) -> None:
    stage = Stage(KnobsPanel(), session)
    async with stage.run_test(size=(60, 12)) as pilot:
        await pilot.pause()
        await pilot.click(KnobsPanel, offset=(2, 5))
        await pilot.pause()
        assert stage.asked == [("knob", "mixup")]
