"""The comparison on a screen: its charts, tabs and keys, on its own and pushed by another app."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.app import App

from cockpit.app.compare_app import CompareApp
from cockpit.preferences.keymap import KEYS
from cockpit.preferences.settings import Settings
from cockpit.preferences.themes import DARK, THEMES
from cockpit.session.history.other_run import OtherRun
from cockpit.ui.panels.charts.chart import ChartView
from cockpit.ui.panels.comparing.keys import comparison_keys, hints
from cockpit.ui.panels.comparing.screen import CompareScreen
from engine.errors import UserError
from tests.panels.comparing.pairs import record_pair
from tests.panels.stage import text_of
from tests.recorded import damage_table


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return record_pair(tmp_path_factory.mktemp("pair"))


def contents(directories: list[Path]) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for path in directories for file in path.rglob("*") if file.is_file()}


async def test_charts_axes_and_tables_are_a_key_away_and_the_runs_are_only_read(directories: list[Path]) -> None:
    before = contents(directories)
    app = CompareApp(CompareScreen(directories), Settings())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        text = text_of(app.screen)
        assert "[charts]   config    interventions    by step" in text and "base | other_run" in text
        assert "a base" in text and "b other_run" in text and "loss/total" in text
        for kind in ("epoch", "samples", "time", "step"):
            await pilot.press("X")
            await pilot.pause()
            assert f"by {kind}" in text_of(app.screen)
        await pilot.press("s", "right")
        await pilot.pause()
        assert "by step 120  smooth 0.6" in text_of(app.screen)
        await pilot.press("escape", "f3")
        await pilot.pause()
        text = text_of(app.screen)
        assert "[config]" in text and "training.learning_rate" in text and "0.0003" in text
        await pilot.press("full_stop")
        await pilot.pause()
        text = text_of(app.screen)
        assert "[interventions]" in text and "[cli:ada]" in text
        await pilot.press("q")
        await pilot.pause()
    assert not app.is_running and contents(directories) == before


async def test_names_of_runs_that_do_not_fit_are_cut_with_a_sign(directories: list[Path]) -> None:
    app = CompareApp(CompareScreen(directories), Settings())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "base | oth" in text_of(app.screen) and "…" in text_of(app.screen)


async def test_its_keys_are_listed_and_a_key_of_a_run_says_that_it_is_not_here(directories: list[Path]) -> None:
    screen = CompareScreen(directories)
    app = CompareApp(screen, Settings())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        for key in ("question_mark", "f1"):
            await pilot.press(key)
            await pilot.pause()
            assert app.screen is not screen and "go by step, epoch, samples or running time" in text_of(app.screen)
            assert "pause" not in text_of(app.screen)
            await pilot.press("escape")
            await pilot.pause()
        await pilot.press("space")
        await pilot.pause()
        assert text_of(screen).splitlines()[-1].strip() == "pause/resume: not in a comparison"
        theme = app.theme
        await pilot.press("t")
        await pilot.pause()
        assert app.theme != theme and text_of(screen).splitlines()[-1].strip().startswith("q leave  ? keys")


async def test_escape_removes_a_cursor_and_never_leaves(directories: list[Path]) -> None:
    screen = CompareScreen(directories)
    app = CompareApp(screen, Settings())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press("right", "right", "escape", "escape", "escape")
        await pilot.pause()
        assert app.screen is screen and "by step  charts" in text_of(screen)
        await pilot.press("ctrl+c")
        await pilot.pause()
    assert not app.is_running


async def test_a_picture_of_it_is_saved_in_the_current_directory(
    directories: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    screen = CompareScreen(directories)
    app = CompareApp(screen, Settings())
    async with app.run_test(size=(120, 24)) as pilot:
        await pilot.pause()
        await pilot.press("S")
        await pilot.pause()
        assert "screenshot: " in text_of(screen).splitlines()[-1] and (tmp_path / "compare-charts.svg").exists()


@pytest.mark.parametrize("width", [20, 40, 80, 100, 200])
def test_as_many_keys_are_shown_as_fit(width: int) -> None:
    said = hints(comparison_keys(KEYS), width)
    assert said.startswith("q leave") and len(said) <= width
    assert all(" " in piece for piece in said.split("  "))


@pytest.mark.parametrize("size", [(80, 24), (200, 50), (40, 10), (10, 3)])
async def test_it_fits_any_size_and_pages_through_every_metric(directories: list[Path], size: tuple[int, int]) -> None:
    screen = CompareScreen(directories, metrics=["loss/total", "lr", "val/miou"])
    app = CompareApp(screen, Settings(marker="block"))
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        seen: set[str] = set()
        for _ in range(3):
            seen |= {chart.spec.title for chart in screen.query(ChartView) if chart.display}
            await pilot.press("tab")
            await pilot.pause()
        assert seen == {"loss/total", "lr", "val/miou"}
        await pilot.press("m")
        await pilot.pause()
        assert sum(chart.display for chart in screen.query(ChartView)) == 1


async def test_keys_change_one_chart_or_all_and_metrics_can_be_chosen(directories: list[Path]) -> None:
    screen = CompareScreen(directories, metrics=["loss/total", "lr"])
    app = CompareApp(screen, Settings())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        charts = [chart for chart in screen.query(ChartView) if chart.display]
        await pilot.press("g", "y")
        await pilot.pause()
        assert [(chart.options.log, bool(chart.options.locked)) for chart in charts] == [(True, True), (False, False)]
        await pilot.press("s", "s")
        await pilot.pause()
        assert {chart.options.smoothing for chart in charts} == {0.8}
        await pilot.press("slash")
        await pilot.pause()
        await pilot.press(*"norm/total", "space", "enter")
        await pilot.pause()
        titles = [chart.spec.title for chart in screen.query(ChartView) if chart.display]
        assert titles == ["loss/total", "lr", "grad_norm/total"]


async def test_another_app_may_open_it_and_gets_its_keys_back(directories: list[Path]) -> None:
    class Host(App[None]):
        BINDINGS = [("q", "leave", "leave")]  # noqa: RUF012

        def action_leave(self) -> None:
            self.exit()

    app = Host()
    for theme in THEMES:
        app.register_theme(theme)
    app.theme = DARK
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(CompareScreen(directories))
        await pilot.pause()
        assert isinstance(app.screen, CompareScreen)
        await pilot.press("q")
        await pilot.pause()
        assert not isinstance(app.screen, CompareScreen) and app.is_running


def test_a_run_whose_rows_are_damaged_is_refused_and_not_drawn_as_empty(tmp_path: Path) -> None:
    directories = record_pair(tmp_path)
    damage_table(directories[0], "steps")
    with pytest.raises(UserError, match="database disk image is malformed"):
        CompareScreen(directories)


async def test_runs_that_become_unreadable_are_marked(directories: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    screen = CompareScreen(directories)
    monkeypatch.setattr(OtherRun, "failure", "the disk is gone")
    async with CompareApp(screen, Settings()).run_test(size=(120, 24)) as pilot:
        await pilot.pause()
        assert "base (cannot be read) | other_run (cannot be read)" in text_of(screen)


def test_an_axis_that_a_run_lacks_is_refused(directories: list[Path], tmp_path: Path) -> None:
    from tests.recorded_run import RecordedRun

    run = RecordedRun(tmp_path / "young")
    run.begin()
    run.close()
    with pytest.raises(UserError, match="the run 'young' has no epoch to draw over: leave out --x"):
        CompareScreen([directories[0], run.directory], kind="epoch")
