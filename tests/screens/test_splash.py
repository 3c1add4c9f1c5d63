"""The first frame waits for nothing that is not in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from cockpit.app.app import CockpitApp
from cockpit.preferences.settings import Settings

ROOT = Path(__file__).resolve().parents[2]

FIRST_FRAME = """
import sys
import main, cockpit.app.runner, cockpit.terminal.drivers.driver
import engine.runtime.host.background, engine.tasks.person.defaults
from cockpit.preferences.settings import load_settings, settings_file
load_settings(settings_file())
print(",".join(name for name in sys.argv[1:] if name in sys.modules))
"""

LATER = ("torch", "numpy", "scipy", "pydantic", "yaml", "plotext", "tensorboard", "PIL", "psutil")


def test_nothing_heavy_is_imported_before_the_first_frame(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    command = [sys.executable, "-c", FIRST_FRAME, *LATER]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == ""


ATTACHED = """
import sys
from cockpit.terminal.lean_imports import lean_imports
with lean_imports():
    import cockpit.app.attached_app, cockpit.app.runner, cockpit.terminal.drivers.driver
first = [name for name in sys.argv[1].split(",") if name in sys.modules]
with lean_imports():
    import cockpit.app.controllers.attached
later = [name for name in sys.argv[2].split(",") if name in sys.modules]
import asyncio, ssl, textual.types, platformdirs, textual.app, numpy
real = textual.types.DirEntry and ssl.create_default_context and platformdirs.user_downloads_path()
assert textual.app.user_downloads_path() == real and numpy.add(1, 1) == 2
print(",".join((*first, *later)))
"""

NEVER = ("ssl", "platformdirs", "textual.types", "textual.widgets._tree", "textual.widgets._select")
AFTER_THE_CHARTS = (
    *("cockpit.ui.screens.help", "cockpit.ui.screens.palette", "cockpit.ui.dialogs.gate_dialog"),
    *("cockpit.ui.dialogs.lists.knob_dialog", "cockpit.ui.dialogs.lists.weight_dialog"),
    *("cockpit.ui.dialogs.lists.histogram_dialog", "hashlib"),
)


def test_an_attached_screen_imports_no_more_than_the_first_chart_needs(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    words = (",".join((*NEVER, *LATER)), ",".join((*NEVER, *AFTER_THE_CHARTS)))
    command = [sys.executable, "-c", ATTACHED, *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


async def test_the_style_sheet_is_parsed_for_the_theme_from_the_start(tmp_path, monkeypatch):
    parsed: list[str] = []
    app = CockpitApp(tmp_path / "calm", settings=Settings(theme="cockpit-light"))
    again = app.stylesheet.reparse
    monkeypatch.setattr(app.stylesheet, "reparse", lambda: (parsed.append(app.theme), again()))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause(0.2)
        assert parsed == [] and app.screen.styles.background.hex == "#FBFBF8"
        app.theme = "cockpit-dark"
        await pilot.pause(0.2)
        assert parsed == ["cockpit-dark"] and app.screen.styles.background.hex == "#0F1419"


async def test_the_first_frame_names_the_run_and_what_is_done(tmp_path, monkeypatch):
    frames: list[str] = []

    def keep(app):
        frames.append(
            "\n".join("".join(part.text for part in strip) for strip in app.screen._compositor.render_strips())
        )
        opened(app)

    opened = CockpitApp._open
    monkeypatch.setattr(CockpitApp, "_open", keep)
    app = CockpitApp(tmp_path / "calm [red]", settings=Settings())
    async with app.run_test(size=(80, 24)) as pilot:
        while "[charts]" not in "\n".join(strip.text for strip in app.screen._compositor.render_strips()):
            await pilot.pause(0.05)
        assert "Training Cockpit" in frames[0] and "calm [red]" in frames[0] and "starting" in frames[0]
