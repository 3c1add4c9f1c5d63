"""Recorded runs, and the cockpit opened on them with clock, time zone and environment held fast."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from textual.pilot import Pilot
from textual.strip import Strip
from textual.widgets import Input

from cockpit.app.app import CockpitApp
from cockpit.app.shutdown import NOT_HERE
from cockpit.app.training_handle import TrainingHandle
from cockpit.preferences.settings import Settings
from cockpit.ui.dialogs.dispatcher import ActionDispatcher
from cockpit.ui.panels.records.log import LogPanel
from tests.recorded_layers import record_layers
from tests.recorded_run import EPOCH_SECONDS, RecordedRun, record_run
from tests.snapshots.frozen import FrozenSession, StillTraining
from tests.snapshots.pictures import draw_histograms, draw_previews

TERMINALS = (
    *("NO_COLOR", "COLUMNS", "LINES", "COLORTERM", "FORCE_COLOR", "TEXTUAL", "TERM_PROGRAM", "KITTY_WINDOW_ID"),
    *("TMUX", "STY", "ZELLIJ"),
)
"""Variables by which a terminal declares its abilities."""

LOG = """\
UserWarning: a worker was slow to start
Traceback (most recent call last):
  File "train.py", line 7, in step
FloatingPointError: [red]markup[/] and \x1b[31mescapes\x1b[0m are only text
"""


async def settled(pilot: Pilot[None], *, looks: int = 100) -> None:
    """Wait until the picture stays the same for three looks in a row: a busy machine lays out late."""
    pictures: list[list[Strip]] = []
    for _ in range(looks):
        await pilot.pause(0.03)
        pictures.append(pilot.app.screen._compositor.render_strips())
        if len(pictures) >= 3 and pictures[-1] == pictures[-2] == pictures[-3]:
            return
    raise AssertionError("the screen never came to rest")


_CONFIG = """extends: tiny
model:
  refinements:
    active_contour_loss: false
training:
  learning_rate: 5e-6
"""


@pytest.fixture(autouse=True)
def same_everywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """What a terminal or a person's settings could change is as it is on any other machine."""
    for name in TERMINALS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with monkeypatch.context() as zone:
        zone.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of runs: `calm` under way, `done` finished, `early` without a journal."""
    folder = tmp_path_factory.mktemp("recorded")
    calm = RecordedRun(folder / "runs" / "calm")
    calm.tell()
    record_layers(calm.journal, 400)
    calm.flush()
    record_run(folder / "runs" / "done", finished=True)
    for name in ("calm", "done"):
        run_dir = folder / "runs" / name
        (run_dir / "config.yaml").write_text(_CONFIG, encoding="utf-8")
        (run_dir / "console.log").write_text(LOG, encoding="utf-8")
        draw_previews(run_dir, 400)
        draw_histograms(run_dir, 400)
    (folder / "runs" / "early").mkdir()
    yield folder
    calm.close()


@pytest.fixture
def cockpit(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., CockpitApp]:
    """Opens the cockpit on the run of that name; no path on it leads out of the folder of runs."""
    monkeypatch.chdir(recorded)
    assert ActionDispatcher.__init__.__kwdefaults__
    monkeypatch.setitem(ActionDispatcher.__init__.__kwdefaults__, "wall_clock", lambda: EPOCH_SECONDS + 240.0)

    def open_cockpit(
        run: str = "calm", *, can_steer: bool = True, cannot_detach: str = NOT_HERE, **settings: Any
    ) -> CockpitApp:
        session, training = (
            FrozenSession(Path("runs") / run, can_steer=can_steer),
            cast(TrainingHandle, StillTraining()),
        )
        return CockpitApp(
            session,
            settings=Settings(reduced_motion=True, **settings),
            training=training,
            cannot_detach=cannot_detach,
        )

    return open_cockpit


@pytest.fixture
def still() -> Callable[..., Callable[[Pilot[None]], Any]]:
    """Presses keys once the cockpit has had its look at the journal; no cursor blinks after that."""

    def press(*keys: str) -> Callable[[Pilot[None]], Any]:
        async def run_before(pilot: Pilot[None]) -> None:
            app = pilot.app
            assert isinstance(app, CockpitApp) and isinstance(app._source, FrozenSession)
            while app._source.num_polls < 2:
                await asyncio.sleep(0.02)
            for key in keys:
                await pilot.press(key)
                await pilot.pause()
            for field in app.screen.query(Input):
                field.cursor_blink = False
            for log in app.screen.query(LogPanel):
                log._look()
            await settled(pilot)
            assert app._exception is None

        return run_before

    return press
