"""The modules panel shows each refinement with its key, switch, weight, losses, chance, share, clamps and curve."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from cockpit.session.session import Session
from cockpit.ui.panels.status.component_rows import MetricSum
from cockpit.ui.panels.status.components import ComponentsPanel
from engine.protocol import commands as c
from engine.tasks.person.spec import REFINEMENTS
from tests.panels.stage import Stage
from tests.recorded_run import RecordedRun

Open = Callable[..., Session]


@pytest.mark.parametrize("width", [32, 40, 60, 80, 120])
async def test_every_refinement_has_its_key_and_switch(told: RecordedRun, open_session: Open, width: int) -> None:
    stage = Stage(ComponentsPanel(), open_session())
    async with stage.run_test(size=(width, 40)) as pilot:
        await pilot.pause()
        for key, name in enumerate(REFINEMENTS, start=1):
            if key <= 3 or width >= 92:
                assert f"{key} {'●' if key <= 3 else '○'} {name}" in stage.shown
            else:
                assert f"  {key}" in stage.shown.splitlines()[stage.find("off:")[1]]
        assert all(line.cell_length <= width for line in stage.panel.lines(width))


@pytest.mark.parametrize(
    ("width", "folded"),
    [
        (76, "○ off:  4 contour  5 distance  6 progressive  7 subpixel"),
        (36, "○ off:  4  5  6  7"),
    ],
)
async def test_what_is_off_takes_one_line(told: RecordedRun, open_session: Open, width: int, folded: str) -> None:
    stage = Stage(ComponentsPanel(), open_session())
    async with stage.run_test(size=(110, 40)) as pilot:
        await pilot.pause()
        lines = [line.plain for line in stage.panel.lines(width)]
        assert lines[-1] == folded
        assert not any("contour_detection" in line for line in lines[:-1])


async def test_a_wide_panel_is_a_table_of_everything(told: RecordedRun, open_session: Open) -> None:
    stage = Stage(ComponentsPanel(), open_session())
    async with stage.run_test(size=(130, 13)) as pilot:
        await pilot.pause()
        title, heading, *rows = stage.shown.splitlines()
        assert "─ Modules ─" in title
        assert " ".join(heading.split()) == "refinement weight raw loss chance level weighted share clamps over the run"
        assert rows[2].split()[:9] == ["3", "●", "active_contour_loss", "0.05", "0.5217", "0.9", "0.02609", "8", "%"]
        assert rows[2].split()[9] == "3"
        assert set(rows[1].split()[-1]) <= set("▁▂▃▄▅▆▇█")
        assert "!" in rows[2]  # the two steps that were not a number
        assert "off, comes with phase 3" in rows[3]
        assert "excludes subpixel_conv" in rows[5]


async def test_the_same_is_told_in_forty_columns(told: RecordedRun, open_session: Open) -> None:
    stage = Stage(ComponentsPanel(), open_session())
    async with stage.run_test(size=(40, 40)) as pilot:
        await pilot.pause()
        said = " ".join(stage.shown.split())
        for word in ("share 8 %", "raw 0.5217", "chance 0.9", "x 0.05 = 0.02609", "clamps 3"):
            assert word in said


async def test_a_switch_and_a_weight_that_were_asked_for_are_pending(told: RecordedRun, open_session: Open) -> None:
    session = open_session()
    stage = Stage(ComponentsPanel(), session)
    async with stage.run_test(size=(130, 13)) as pilot:
        session.send(c.DisableRefinement("boundary_aware_loss"))
        session.send(c.EnableRefinement("subpixel_conv"))
        session.send(c.SetLossWeight("active_contour", 0.2))
        stage.look()
        await pilot.pause()
        assert "2 ● -> off … boundary_aware" in stage.shown
        assert "7 ○ -> on … subpixel_conv" in stage.shown
        assert "0.05 -> 0.2 …" in stage.shown
        told.answer_commands()
        stage.look()
        await pilot.pause()
        assert "…" not in stage.shown
        assert "7 ● subpixel_conv" in stage.shown


@pytest.mark.parametrize("width", [40, 130])
async def test_a_click_on_a_refinement_asks_for_its_switch(told: RecordedRun, open_session: Open, width: int) -> None:
    stage = Stage(ComponentsPanel(), open_session())
    async with stage.run_test(size=(width, 30)) as pilot:
        await pilot.pause()
        column, row = stage.find("contour_detection" if width >= 92 else "off:  4")
        await pilot.click(offset=(column if width >= 92 else column + 6, row))
        await pilot.click(offset=stage.find("0.05"))
        await pilot.pause()
        assert stage.asked == [("toggle", "contour_detection"), ("weight", "active_contour")]


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0, 1e-12, 1e12])
async def test_losses_of_any_kind_are_shown(run: RecordedRun, open_session: Open, value: float) -> None:
    run.begin()
    run.train(20, changes={"loss_raw/boundary_aware": value, "grad_share/boundary_aware_loss": value})
    stage = Stage(ComponentsPanel(), open_session())
    async with stage.run_test(size=(130, 13)) as pilot:
        await pilot.pause()
        said = {"nan": "NaN", "inf": "Inf", "0.0": "0", "1e-12": "1e-12", "1000000000000.0": "1e+12"}[str(value)]
        assert said in stage.shown.splitlines()[3].split()


async def test_a_run_without_a_step_has_no_numbers(run: RecordedRun, open_session: Open) -> None:
    run.begin()
    stage = Stage(ComponentsPanel(), open_session())
    async with stage.run_test(size=(130, 13)) as pilot:
        await pilot.pause()
        assert stage.shown.splitlines()[3].split() == [
            "2",
            "●",
            "boundary_aware_loss",
            "0.1",
            "-",
            "1.3",
            "-",
            "-",
            "0",
        ]


async def test_ascii_asks_for_no_other_character(told: RecordedRun, open_session: Open) -> None:
    stage = Stage(ComponentsPanel(marker="ascii"), open_session())
    async with stage.run_test(size=(130, 13)) as pilot:
        await pilot.pause()
        assert stage.shown.isascii()


def test_clamp_hits_are_counted_once_however_often_they_are_asked_for(told: RecordedRun, open_session: Open) -> None:
    session, tally = open_session(), MetricSum("clamp_hits/boundary_aware")
    assert [tally.count(session.history), tally.count(session.history)] == [4, 4]
    told.train(490)
    session.poll()
    assert tally.count(session.history) == 5


def test_clamp_hits_of_steps_that_were_taken_back_do_not_count(told: RecordedRun, open_session: Open) -> None:
    session, tally = open_session(), MetricSum("clamp_hits/boundary_aware")
    assert tally.count(session.history) == 4
    told.rewind(200)
    session.poll()
    assert tally.count(session.history) == 2
