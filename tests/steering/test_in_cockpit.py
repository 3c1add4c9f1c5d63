"""Steering in the whole cockpit: keys, footer, banner and palette against a run that answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from cockpit.app import CockpitApp
from cockpit.keys import remap
from cockpit.session.session import Session
from cockpit.settings import Settings
from cockpit.steering.pending import PendingStrip
from engine.protocol import commands as c
from tests.recorded_run import RecordedRun
from tests.steering.conftest import RED
from tests.steering.screen import press, raise_alert


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@asynccontextmanager
async def cockpit_on(run: RecordedRun, **settings) -> AsyncIterator[Pilot[None]]:
    """The cockpit on the run, once it has looked at it."""
    session = Session(run.directory)
    session.poll()
    app = CockpitApp(session, settings=Settings(reduced_motion=True, **settings))
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: bool(app.screen.query("#keys")))
        yield pilot
    session.close()


async def until(pilot: Pilot[None], holds: Callable[[], bool]) -> None:
    """Wait for what the next look at the journal brings."""
    for _ in range(100):
        if holds():
            return
        await pilot.pause(0.03)
    raise AssertionError("it never came")


def strip(pilot: Pilot[None]) -> str:
    shown = pilot.app.screen_stack[0].query_one(PendingStrip)
    return str(shown.render()) if shown.display else ""


def toasts(pilot: Pilot[None]) -> list[str]:
    return [f"{notice.title}: {notice.message}" for notice in pilot.app._notifications]


async def test_a_key_is_pending_until_the_run_answers(run):
    async with cockpit_on(run) as pilot:
        await press(pilot, "l")
        await until(pilot, lambda: "lower LR: LR 3.00e-03 -> 1.50e-03" in strip(pilot))
        assert [request.command for request in run.answer_commands()] == [c.ScaleLr(0.5)]
        await until(pilot, lambda: strip(pilot) == "")
        await until(pilot, lambda: bool(toasts(pilot)))
        assert toasts(pilot) == ["✓ lower LR: applied at step 60: learning rate 3.00e-03 -> 1.50e-03"]


async def test_an_open_gate_follows_the_run(run):
    async with cockpit_on(run) as pilot:
        await press(pilot, "p")
        run.observe(gate=RED)
        await until(pilot, lambda: "1 check is red" in str(pilot.app.screen.query_one("#press", Static).render()))


async def test_remedies_are_for_the_alert_of_the_banner_until_it_is_acknowledged(run):
    raise_alert(run, term="boundary_aware")
    async with cockpit_on(run) as pilot:
        await press(pilot, "A", "4")
        await until(pilot, lambda: "accumulation: 1 -> 2" in strip(pilot))
        await press(pilot, "a", "A")
        assert toasts(pilot) == ["✗ remedies: refused: there is no alert to find a remedy for"]


async def test_the_footer_is_clicked_like_a_key(run):
    async with cockpit_on(run) as pilot:
        footer = pilot.app.screen.query_one("#keys")
        at = str(footer.render()).index("pause")
        await pilot.click("#keys", offset=(at, 0))
        await until(pilot, lambda: "pause: running -> paused" in strip(pilot))


async def test_the_palette_steers(run):
    async with cockpit_on(run) as pilot:
        await press(pilot, "ctrl+p", *"validate")
        await pilot.pause(0.3)
        await press(pilot, "enter")
        await until(pilot, lambda: "validate: runs at the step boundary" in strip(pilot))


async def test_a_remapped_key_steers_and_its_old_place_does_not(run):
    async with cockpit_on(run, keys=remap({"lower_lr": ["ctrl+d"]})) as pilot:
        await press(pilot, "l", "ctrl+d")
        await until(pilot, lambda: strip(pilot).count("lower LR") == 1)


async def test_a_dialog_opens_without_a_toast_over_it(run):
    async with cockpit_on(run) as pilot:
        await press(pilot, "l")
        run.answer_commands()
        await until(pilot, lambda: bool(toasts(pilot)))
        await press(pilot, "P")
        assert toasts(pilot) == []
