"""The main screen's first picture is put together once, with charts; what is not in it is made afterwards."""

from __future__ import annotations

import gc

import pytest

from cockpit.app.app import CockpitApp
from cockpit.preferences.settings import Settings
from cockpit.ui.screens.main_screen import MainScreen
from cockpit.ui.screens.splash import SplashScreen
from cockpit.ui.screens.tab_bar import TABS
from tests.recorded_run import record_run


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    return record_run(tmp_path_factory.mktemp("runs") / "demo", steps=120)


def tabs_of(screen: MainScreen) -> list[str | None]:
    return [tab.id for tab in screen.query_one("#body").children]


async def opened(app: CockpitApp, pilot) -> MainScreen:
    while not isinstance(app.screen, MainScreen) or app.screen._is_first_picture:
        await pilot.pause(0.01)
    return app.screen


async def test_charts_are_in_the_first_picture_and_are_drawn_once_for_it(recorded, monkeypatch):
    pictures: list[str] = []
    app = CockpitApp(recorded, settings=Settings(reduced_motion=True))
    put = app._display

    def display(screen, update):
        if isinstance(screen, MainScreen) and update is not None:
            strips = screen._compositor.render_strips()
            pictures.append("\n".join("".join(part.text for part in strip) for strip in strips))
        put(screen, update)

    monkeypatch.setattr(app, "_display", display)
    async with app.run_test(size=(200, 50)) as pilot:
        screen = await opened(app, pilot)
        await pilot.pause()
        assert pictures[0].count("╭─") == 6 and "total" in pictures[0] and max(pictures[0]) >= "⠀"
        assert {chart.num_draws for chart in screen.charts.board.charts} == {0, 1}


async def test_a_tab_is_made_when_it_is_wanted(recorded, monkeypatch):
    monkeypatch.setattr("cockpit.ui.screens.main_screen._TABS_AFTER", 600)
    app = CockpitApp(recorded, settings=Settings(reduced_motion=True))
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(app, pilot)
        assert tabs_of(screen) == ["charts"]
        await pilot.press("f6")
        await pilot.pause()
        assert tabs_of(screen) == ["charts", "log"] and screen.query_one("#log").display


async def test_the_other_tabs_are_made_by_and_by_and_stay_out_of_sight(recorded):
    app = CockpitApp(recorded, settings=Settings(reduced_motion=True))
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(app, pilot)
        while len(tabs_of(screen)) < len(TABS):
            await pilot.pause(0.05)
        assert sorted(map(str, tabs_of(screen))) == sorted(TABS.values())
        assert [tab.id for tab in screen.query_one("#body").children if tab.display] == ["charts"]


async def test_tabs_that_are_turned_faster_than_they_are_made_are_not_lost(recorded):
    app = CockpitApp(recorded, settings=Settings(reduced_motion=True))
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(app, pilot)
        for _ in range(3):
            screen.turn_tab(1)
        await pilot.pause()
        await pilot.pause()
        names = list(TABS.values())
        assert screen.tab == names[3] and screen.query_one(f"#{names[3]}").display


async def test_garbage_is_collected_again_once_the_screen_is_gone(recorded, monkeypatch):
    monkeypatch.setattr("cockpit.app.app._OPENED_AFTER", 600)
    app = CockpitApp(recorded, settings=Settings(reduced_motion=True))
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        assert not gc.isenabled()
    assert gc.isenabled()


async def test_the_screen_waits_for_no_tick_until_its_first_picture_is_there(recorded, monkeypatch):
    monkeypatch.setattr("textual.screen.UPDATE_PERIOD", 600)
    app = CockpitApp(recorded, settings=Settings(reduced_motion=True))
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(app, pilot)
        while screen.is_opening:
            await pilot.pause(0.01)
        assert screen.charts.board.current.num_draws >= 1


async def test_the_screen_below_the_open_one_is_at_rest(recorded, monkeypatch):
    early: list[object] = []
    app = CockpitApp(recorded, settings=Settings(reduced_motion=True))
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        below = app.screen_stack[0]
        assert isinstance(below, SplashScreen)
        monkeypatch.setattr(below, "_update", lambda: early.append(below))
        below.refresh()
        below.check_idle()
        await pilot.pause(0.2)
        assert early == []
