"""An update of what has changed leaves the terminal as an update of everything would."""

from __future__ import annotations

import asyncio

import pyte

from cockpit.app import CockpitApp
from cockpit.session.session import EVERYTHING, Session
from cockpit.settings import Settings
from tests.recorded_run import RecordedRun


async def test_the_screen_after_many_updates_is_what_drawing_it_whole_gives(tmp_path, monkeypatch):
    run = RecordedRun(tmp_path / "live")
    run.begin()
    app = CockpitApp(Session(run.directory), settings=Settings(reduced_motion=True))
    terminal = pyte.Screen(120, 40)
    stream = pyte.Stream(terminal)

    def display(screen, update):
        if update is not None:
            stream.feed(update.render_segments(app.console))

    monkeypatch.setattr(app, "_display", display)
    async with app.run_test(size=(120, 40)) as pilot:
        app.screen.refresh(layout=True)
        for step in range(1, 12):
            run.train(step * 5)
            await pilot.pause(0.1)
        await pilot.press("f5", "f2", "left")
        run.close()
        app._cabin.screen.take(EVERYTHING)
        await asyncio.sleep(1.8)
        await pilot.pause()
        whole = ["".join(part.text for part in strip).rstrip() for strip in app.screen._compositor.render_strips()]
        assert [line.rstrip() for line in terminal.display] == whole
