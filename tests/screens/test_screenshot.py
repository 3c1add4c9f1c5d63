"""A picture of the screen is made without touching what the screen is drawn with."""

from __future__ import annotations

from pathlib import Path

from rich.color import ColorSystem
from textual.app import App

from cockpit.app.app import CockpitApp
from cockpit.preferences.settings import Settings
from cockpit.session.session import Session
from tests.recorded_run import record_run


async def test_a_picture_leaves_a_terminal_of_256_colours_its_colours(tmp_path: Path) -> None:
    app = CockpitApp(Session(record_run(tmp_path / "run", steps=30)), settings=Settings(reduced_motion=True))
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause(0.3)
        styles = {
            segment.style for strip in app.screen._compositor.render_strips() for segment in strip if segment.style
        }
        for style in styles:
            style._ansi = None  # other tests of this process may have drawn the same styles, in other colours
        picture = app.export_screenshot()
        codes = "".join(style.render("x", color_system=ColorSystem.EIGHT_BIT) for style in styles)
        assert "38;5;" in codes
        assert "38;2;" not in codes and "48;2;" not in codes
        assert picture == App.export_screenshot(app)
