"""Tabs are made while the screen is idle, or when a key asks for one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from textual.await_complete import AwaitComplete
from textual.widget import AwaitMount

from cockpit.app.app import CockpitApp
from cockpit.preferences.settings import Settings
from cockpit.session.session import Session
from cockpit.ui.screens.main_screen import MainScreen
from cockpit.ui.screens.tabs import TabBody
from tests.recorded_run import record_run


async def test_a_key_that_comes_while_its_tab_is_mounted_shows_all_that_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cockpit.ui.screens.main_screen._TABS_AFTER", 1000.0)
    app = CockpitApp(Session(record_run(tmp_path / "run", steps=30)), settings=Settings(reduced_motion=True))
    async with app.run_test(size=(80, 40)) as pilot:
        screen = app.screen
        assert isinstance(screen, MainScreen)
        while screen._is_first_picture:
            await pilot.pause(0.01)
        mounting, go_on, mount = asyncio.Event(), asyncio.Event(), TabBody.mount

        def slow(body: TabBody, *widgets: object) -> AwaitComplete:
            async def done(mounted: AwaitMount) -> None:
                await mounted
                mounting.set()
                await go_on.wait()

            return AwaitComplete(done(mount(body, *widgets)))  # type: ignore[arg-type]

        monkeypatch.setattr(TabBody, "mount", slow)
        making = asyncio.create_task(screen._make("run"))
        await mounting.wait()
        await pilot.press("f3")
        go_on.set()
        await making
        while screen._body.current != "run":
            await pilot.pause(0.01)
        await pilot.pause(0.1)
        shown = "\n".join(strip.text for strip in screen._compositor.render_strips())
    assert "Phases" in shown and "before the run has begun" not in shown
