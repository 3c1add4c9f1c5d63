"""An update of what has changed leaves the terminal as an update of everything would."""

from __future__ import annotations

import asyncio

import pyte
import pytest
from textual._compositor import Compositor

from cockpit.app.app import CockpitApp
from cockpit.preferences.settings import Settings
from cockpit.session.session import Session
from cockpit.session.update import FULL_UPDATE
from cockpit.ui.screens.compositor import FrugalCompositor, PlacedUpdate
from tests.recorded_run import RecordedRun, record_run


async def test_the_screen_after_many_updates_is_what_drawing_it_whole_gives(tmp_path, monkeypatch):
    run = RecordedRun(tmp_path / "live")
    run.begin()
    app = CockpitApp(Session(run.directory), settings=Settings(reduced_motion=True))
    terminal = pyte.Screen(120, 40)
    stream = pyte.Stream(terminal)

    def display(screen, update):
        if update is not None:
            if isinstance(update, PlacedUpdate):
                assert "\n" not in update.render_segments(app.console), "lines of a picture hold no other text"
                kinds.add("placed")
            stream.feed(update.render_segments(app.console))

    kinds: set[str] = set()
    monkeypatch.setattr(app, "_display", display)
    async with app.run_test(size=(120, 40)) as pilot:
        app.screen.refresh(layout=True)
        for step in range(1, 12):
            run.train(step * 5)
            await pilot.pause(0.1)
        await pilot.press("f5", "f2", "left")
        run.close()
        app._controller.screen.apply_update(FULL_UPDATE)
        await asyncio.sleep(1.8)
        for _ in range(20):  # what a second's tick has just changed is drawn with the next update
            await pilot.pause()
            whole = ["".join(part.text for part in strip).rstrip() for strip in app.screen._compositor.render_strips()]
            left = [line.rstrip() for line in terminal.display]
            if left == whole:
                break
        assert left == whole and kinds == {"placed"}


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)], ids=str)
async def test_leaving_out_what_is_covered_changes_no_cell(tmp_path, monkeypatch, size):
    app = CockpitApp(Session(record_run(tmp_path / "done", steps=60)), settings=Settings(reduced_motion=True))
    async with app.run_test(size=size) as pilot:
        await pilot.pause(0.3)
        for key in ("f2", "f3", "f4", "f5", "f6", "f7", "f8"):
            await pilot.press(key)
            app.notify("something that moves what is above it")
            await pilot.pause(0.2)
            compositor = app.screen._compositor
            ours = compositor.render_strips()
            with monkeypatch.context() as patched:
                patched.setattr(FrugalCompositor, "_get_renders", Compositor._get_renders)
                theirs = compositor.render_strips()
            assert ours == theirs
