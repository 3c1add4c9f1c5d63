from __future__ import annotations

from textual.fuzzy import FuzzySearch
from textual.widgets import Input, OptionList

from cockpit.ui.panels.charts.metric_chooser import MetricChooser
from cockpit.ui.panels.toolkit.fuzzy import found
from tests.panels.charts.chart_stage import ChartStage, session_of

NAMES = ("loss/total", "loss/dice", "grad_norm/total", "lr")


def test_the_filter_is_fuzzy_and_an_empty_one_lets_everything_through() -> None:
    search = FuzzySearch()
    assert found(search, " ", NAMES) == list(NAMES)
    assert found(search, "gtot", NAMES) == ["grad_norm/total"]
    assert set(found(search, "loss", NAMES)) == {"loss/total", "loss/dice"}
    assert found(search, "zzz", NAMES) == []


async def test_ticked_metrics_are_what_the_focused_chart_shows() -> None:
    app = ChartStage(session_of(50))
    async with app.run_test(size=(140, 44)) as pilot:
        app.apply_update()
        app.grid.dispatch("choose_metrics")
        await pilot.pause()
        await pilot.press("space", *"lr", "space", "enter")
        await pilot.pause()
        assert app.chart("loss").options.metrics == ("lr",)
        assert "lr 1e-5" in app.chart("loss").text()
        app.grid.dispatch("choose_metrics")
        await pilot.pause()
        await pilot.press(*"lr", "space", "enter")
        await pilot.pause()
        assert app.chart("loss").options.metrics is None
        assert "a total" in app.chart("loss").text()


async def test_leaving_changes_nothing() -> None:
    app = ChartStage(session_of(50))
    async with app.run_test(size=(140, 44)) as pilot:
        app.apply_update()
        app.grid.dispatch("choose_metrics")
        await pilot.pause()
        await pilot.press("down", "space", "escape")
        await pilot.pause()
        assert app.chart("loss").options.metrics is None
        assert not isinstance(app.screen, MetricChooser)


async def test_the_list_follows_the_filter_and_names_are_shown_as_written() -> None:
    app = ChartStage(session_of(5))
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(MetricChooser("[red]x\x1b", ("[bold]a[/]", "\x1b[31mb", "c"), ("c",)))
        await pilot.pause()
        options = app.screen.query_one(OptionList)
        prompts = [str(options.get_option_at_index(at).prompt) for at in range(3)]
        assert prompts == ["[ ] [bold]a[/]", "[ ] \\x1b[31mb", "[x] c"]
        await pilot.press("c")
        await pilot.pause()
        assert app.screen.query_one(Input).render_line(0).text.startswith("c")
        assert options.option_count == 1
        app.screen.query_one(Input).value = "nothing"
        await pilot.pause()
        await pilot.press("space", "down", "enter")


async def test_a_filter_that_nothing_matches_says_so() -> None:
    app = ChartStage(session_of(50))
    async with app.run_test(size=(140, 44)) as pilot:
        app.apply_update()
        app.grid.dispatch("choose_metrics")
        await pilot.pause()
        await pilot.press(*"zzzz", "down", "space")
        listed = app.screen.query_one(OptionList)
        assert [str(option.prompt) for option in listed.options] == ["no metric has these letters in this order"]
