"""Curves of a parent and of a baseline below those of a run: up to the fork, on every axis, without a trace."""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from textual.pilot import Pilot

import main
from cockpit.charts.draw.glyphs import BRAILLE
from cockpit.session.history.other_run import OtherRun
from cockpit.session.session import Session
from cockpit.ui.panels.charts.grid import ChartGrid
from engine.journal.task_meta import PARENT, Parent
from engine.protocol.codec import to_json
from tests.panels.stage import Stage
from tests.recorded_run import RecordedRun, record_run

DOTS = {chr(code) for code in BRAILLE.table.tolist() if code != 32}


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A run of 120 steps at rest."""
    return record_run(tmp_path / "runs" / "base", steps=120, finished=True)


def branch_of(base: Path) -> Path:
    """A branch of it at step 60, up to step 100."""
    run = RecordedRun(base.parent / "child", step=60)
    run.journal.set_meta(PARENT, to_json(Parent.at(base, 60, "step-00000060.pt", child=run.directory)))
    run.begin()
    run.train(100)
    run.close()
    return run.directory


@asynccontextmanager
async def grid_on(run_dir: Path, baseline: Path | None = None) -> AsyncGenerator[tuple[ChartGrid, Pilot[None]]]:
    with closing(Session(run_dir)) as session:
        grid = ChartGrid(baseline=baseline)
        async with Stage(grid, session).run_test(size=(100, 40)) as pilot:
            await pilot.pause()
            yield grid, pilot


def drawn_columns(grid: ChartGrid) -> set[int]:
    """The columns of the first chart with a dot of a curve."""
    return {x for line in grid.board.current.text().splitlines() for x, letter in enumerate(line) if letter in DOTS}


async def test_the_parents_curve_leads_up_to_the_fork(base: Path) -> None:
    async with grid_on(branch_of(base)) as (grid, pilot):
        feed = grid.feed()
        assert feed is not None and (feed.extent.first, feed.extent.last) == (1, 100)
        assert "below base" in grid.board.current.text().splitlines()[0]
        columns = drawn_columns(grid)
        assert grid.dispatch("baseline")
        await pilot.pause()
        feed = grid.feed()
        assert feed is not None and feed.extent.first == 61
        assert "below base" not in grid.board.current.text()
        grid.dispatch("baseline")
        await pilot.pause()
        assert drawn_columns(grid) == columns


async def test_nothing_of_the_parent_is_drawn_after_the_fork(base: Path) -> None:
    async with grid_on(branch_of(base)) as (grid, _):
        feed = grid.feed()
        assert feed is not None
        (under,) = feed.under
        found = under.columns_of(["loss/total"], feed.view.shown(feed.extent), 100)["loss/total"]
        ends = [column for column in range(100) if found.mean_C[column] == found.mean_C[column]]
        assert feed.view.shown(feed.extent).step_at(ends[-1], 100) < 62


@pytest.mark.parametrize("turns", [1, 2])
async def test_the_axis_of_a_branch_goes_on_from_its_parents(base: Path, turns: int) -> None:
    async with grid_on(branch_of(base)) as (grid, pilot):
        for _ in range(turns):
            grid.dispatch("x_axis")
            await pilot.pause()
        feed = grid.feed()
        assert feed is not None and feed.axis is not None
        places = [feed.axis.place(step) for step in (1, 60, 61, 100)]
        assert places == sorted(places)
        if turns == 1:
            assert places == pytest.approx([0.02, 1.2, 1.22, 2.0])
        else:
            assert places[0] < 0 and places[1] == 0 and places[2] >= 0


async def test_a_baseline_lies_below_the_run_over_its_whole_length_on_every_axis(base: Path, tmp_path: Path) -> None:
    run_dir = record_run(tmp_path / "runs" / "one", steps=40)
    async with grid_on(run_dir, base) as (grid, pilot):
        for kind in ("step", "epoch", "time"):
            feed = grid.feed()
            assert feed is not None and feed.extent.last == 40
            (under,) = feed.under
            assert under.name == "base" and (under.axis is None) == (kind == "step")
            window = feed.view.shown(feed.extent)
            assert under.columns_of(["loss/total", "no/such"], window, 50).keys() == {"loss/total"}
            assert "below base" in grid.board.current.text().splitlines()[0]
            grid.dispatch("x_axis")
            await pilot.pause()


async def test_without_other_runs_the_key_says_so(base: Path) -> None:
    async with grid_on(base) as (grid, pilot):
        grid.dispatch("baseline")
        await pilot.pause()
        (said,) = (note.message for note in pilot.app._notifications)  # pyright: ignore[reportPrivateUsage]
        assert said.startswith("there are no curves of other runs: the run is no branch")


async def test_a_parent_that_was_deleted_is_left_out(base: Path) -> None:
    child = branch_of(base)
    shutil.rmtree(base)
    async with grid_on(child) as (grid, _):
        feed = grid.feed()
        assert feed is not None and feed.under == () and feed.extent.first == 61


def test_a_run_at_rest_is_read_without_a_trace(base: Path) -> None:
    before = contents(base)
    other = OtherRun(base)
    for _ in range(3):
        other.poll()
    other.progress.refresh()
    other.close()
    assert other.history.last_step == 120 and other.progress.steps.size == 120
    assert contents(base) == before


def test_a_live_run_is_followed(tmp_path: Path) -> None:
    run = RecordedRun(tmp_path / "live")
    run.begin()
    run.train(20)
    with closing(OtherRun(run.directory)) as other:
        other.poll()
        assert other.is_live and other.history.last_step == 20
        run.train(30)
        other.poll()
        assert other.history.last_step == 30
    run.close()


@pytest.mark.parametrize("words", [["--no-ui"], ["attach", "base"]])
def test_a_missing_baseline_is_one_sentence_before_anything_begins(
    base: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert main.main([*words, "--runs-dir", str(base.parent), "--baseline", "bse"]) == 2
    said = capsys.readouterr()
    assert "there is no run 'bse' in" in said.err and "did you mean 'base'" in said.err
    assert said.out == "" and [path.name for path in base.parent.iterdir()] == ["base"]


def test_a_baseline_without_a_metric_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RecordedRun(tmp_path / "runs" / "empty")
    run.begin()
    run.close()
    assert main.main(["--no-ui", "--runs-dir", str(tmp_path / "runs"), "--baseline", "empty"]) == 2
    assert "--baseline empty: the run has recorded no metric yet" in capsys.readouterr().err
