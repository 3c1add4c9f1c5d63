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
import main, cockpit.app.runner, cockpit.terminal.driver, engine.host.background, engine.tasks.person.defaults
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
        await pilot.pause(0.5)
        assert "Training Cockpit" in frames[0] and "calm [red]" in frames[0] and "starting" in frames[0]
        assert "[charts]" in "\n".join(
            "".join(part.text for part in strip) for strip in app.screen._compositor.render_strips()
        )
