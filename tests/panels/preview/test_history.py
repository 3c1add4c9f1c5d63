"""The preview panel shows the worst regions first, and how a region was learned."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from cockpit.session.session import Session
from cockpit.ui.panels.preview.half_blocks import shown_in, strip_grid
from cockpit.ui.panels.preview.history import History, learned
from cockpit.ui.panels.preview.layers import Layer
from cockpit.ui.panels.preview.panel import PreviewPanel
from engine.outputs.inspection.preview_writer import write_previews
from engine.outputs.inspection.strip_file import strip_path, thumbnails_of, write_strip
from tests.panels.preview.regions import region
from tests.panels.stage import Stage
from tests.recorded_run import RecordedRun

Open = Callable[..., Session]


@pytest.fixture
def learned_run(run: RecordedRun) -> RecordedRun:
    """A run that remembers three regions, whose errors fall; the second region is the worst of the last validation."""
    run.observe(step=30)
    for step in (10, 20, 30):
        errors = {"images/a.jpg#1": 3 / step, "images/b.jpg#1": 6 / step, "images/c.jpg#1": 0.0}
        ranks = {name: rank for rank, name in enumerate(sorted(errors, key=lambda name: -errors[name]), 1)}
        shown = tuple(replace(region(name), error=errors[name], rank=ranks[name], place=0) for name in errors)
        write_previews(run.directory, step, shown)
        write_strip(run.directory, step, thumbnails_of(shown, {}))
    return run


async def test_the_worst_region_comes_first_and_home_returns_to_it(
    learned_run: RecordedRun, open_session: Open
) -> None:
    stage = Stage(PreviewPanel(), open_session())
    async with stage.run_test(size=(120, 24)) as pilot:
        stage.panel.focus()
        await pilot.pause()
        assert "images/b.jpg#1" in stage.shown and "worst #1" in stage.shown and "error 0.200" in stage.shown
        await pilot.press("right", "right")
        await pilot.pause()
        assert "images/c.jpg#1" in stage.shown and "worst #3" in stage.shown
        await pilot.press("home")
        await pilot.pause()
        assert "images/b.jpg#1" in stage.shown


async def test_a_region_that_was_selected_stays_in_other_validations(
    learned_run: RecordedRun, open_session: Open
) -> None:
    stage = Stage(PreviewPanel(), open_session())
    async with stage.run_test(size=(120, 24)) as pilot:
        stage.panel.focus()
        await pilot.press("right", "down")
        await pilot.pause()
        assert "validation at step 20" in stage.shown and "images/a.jpg#1" in stage.shown
        others = (replace(region("images/x.jpg#1"), rank=1), replace(region("images/a.jpg#1"), rank=9))
        write_previews(learned_run.directory, 40, others)
        stage.look()
        await pilot.press("end")
        await pilot.pause()
        assert "region 2 of 2" in stage.shown and "images/a.jpg#1" in stage.shown


@pytest.mark.parametrize("size", [(80, 17), (160, 44)])
async def test_s_shows_how_a_region_was_learned(
    learned_run: RecordedRun, open_session: Open, size: tuple[int, int]
) -> None:
    stage = Stage(PreviewPanel(), open_session())
    async with stage.run_test(size=size) as pilot:
        stage.panel.focus()
        await pilot.press("s")
        await pilot.pause()
        said = " ".join(stage.shown.split())
        assert "error 0.600 at step 10 -> 0.200 at step 30, best 0.200 at step 30" in said
        for title in ("10 0.60", "20 0.30", "30 0.20", "truth", "[history]"):
            assert title in said
        await pilot.press("s")
        await pilot.pause()
        assert "[all]" in stage.shown and "IoU target" in stage.shown


async def test_a_high_panel_shows_the_history_below_the_layers(learned_run: RecordedRun, open_session: Open) -> None:
    stage = Stage(PreviewPanel(), open_session())
    async with stage.run_test(size=(150, 40)) as pilot:
        await pilot.pause()
        assert "[all]" in stage.shown and "20 0.30" in stage.shown


async def test_a_region_without_history_says_so(run: RecordedRun, open_session: Open) -> None:
    run.observe(step=30)
    write_previews(run.directory, 30, (region(),))
    stage = Stage(PreviewPanel(), open_session())
    async with stage.run_test(size=(100, 40)) as pilot:
        stage.panel.focus()
        await pilot.press("s")
        await pilot.pause()
        assert "not remembered by any validation" in stage.shown
        await pilot.press("backspace")
        await pilot.pause()
        assert "[distance]" in stage.shown


def test_a_strip_that_does_not_fit_spans_the_run_and_ends_with_the_truth() -> None:
    layers = [Layer(str(step), np.zeros((32, 32, 3), np.uint8), np.full((32, 32), " ")) for step in range(40)]
    grid = strip_grid(len(layers), 80, 10, 1.0)
    names = [layer.name for layer in shown_in(grid, layers, strip=True)]
    assert grid.down * (grid.height + 1) <= 10 and grid.across * (grid.width + 2) - 2 <= 80
    assert (names[0], names[-2], names[-1]) == ("0", "38", "39") and len(names) == grid.num_shown(40) >= 3
    few = strip_grid(3, 80, 10, 1.0)
    assert few.num_shown(3) == 3 and few.height >= grid.height


def test_a_strip_file_that_changed_is_read_again(learned_run: RecordedRun) -> None:
    history = History(learned_run.directory)
    assert [step for step, _ in history.of("images/a.jpg#1")] == [10, 20, 30]
    path = strip_path(learned_run.directory, 30)
    path.unlink()
    assert [step for step, _ in history.of("images/a.jpg#1")] == [10, 20]
    write_strip(learned_run.directory, 20, thumbnails_of((replace(region("images/a.jpg#1"), error=0.125),), {}))
    os.utime(strip_path(learned_run.directory, 20), ns=(1, 1))
    assert [small.error for _, small in history.of("images/a.jpg#1")] == [pytest.approx(0.3), 0.125]


def test_one_validation_is_no_way_from_one_error_to_another(learned_run: RecordedRun) -> None:
    moments = History(learned_run.directory).of("images/a.jpg#1")
    assert learned(moments[:1]) == "0.300 at step 10"
    assert learned(moments) == "0.300 at step 10 -> 0.100 at step 30, best 0.100 at step 30"
