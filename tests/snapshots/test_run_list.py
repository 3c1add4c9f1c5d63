"""Pictures of the list of runs at three sizes, from rows that need no directory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from cockpit.app.runs_app import RunsApp
from cockpit.preferences.settings import Settings
from cockpit.session.run_list.catalogue import RunCatalogue
from cockpit.session.run_list.listed_run import UNREADABLE, ListedRun
from cockpit.session.run_list.watcher import RunListing, RunWatcher
from tests.session.run_list.listing import listed
from tests.snapshots.conftest import settled

NOW = 1_760_000_000.0
FALL = tuple(2.0 - step / 30 for step in range(40))


def rows() -> list[ListedRun]:
    def run(name: str, hours: float, **facts: object) -> ListedRun:
        return listed(name, started=NOW - 3600 * hours, **{"phase": 2, "lr": 5e-6, "total_steps": 1000, **facts})

    ended = (1, 0.0, NOW - 7200, 0.0, 1, "host", 0)
    diverged = (*FALL[:30], None, 3.0, 3.1, 2.9, *FALL[:6])
    live = run("tiny-20251009-103000", 0.1, step=420, best=0.512, curve=FALL)
    return [
        replace(live, state="running", is_live=True),
        run("branch-lower-lr", 5, step=700, best=0.61, parent=("baseline", 300), lr=1e-6, curve=FALL, session=ended),
        run("branch-hot", 6, step=320, alerts=4, skipped=2, parent=("baseline", 300), lr=1e-3, curve=diverged,
            activity="failed", session=ended),
        run("baseline", 30, step=1000, best=0.589, tags="baseline published", curve=FALL[::-1], session=ended,
            note="the first that converged", task="people"),
        run("own-loop", 50, step=90, program="train.py", best=None, session=ended),
        ListedRun(Path("runs/torn"), NOW - 3600 * 99).with_problem(UNREADABLE, "cannot open runs/torn/run.sqlite"),
        run("größe-訓練実験", 2000, step=12, best=0.2, session=ended),
    ]  # fmt: skip


@pytest.fixture
def run_list() -> Callable[[], RunsApp]:
    def make() -> RunsApp:
        watcher = RunWatcher(RunCatalogue(Path("runs")))
        watcher.listing = RunListing(1, {run.name: run for run in rows()}, unread=3)
        return RunsApp(Path("runs"), watcher, settings=Settings(reduced_motion=True), clock=lambda: NOW)

    return make


def pressing(*keys: str) -> Callable[[Pilot[None]], Awaitable[None]]:
    async def run_before(pilot: Pilot[None]) -> None:
        await pilot.press(*keys)
        for field in pilot.app.screen.query(Input):
            field.cursor_blink = False
        await settled(pilot)

    return run_before


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)], ids=["80x24", "120x40", "200x50"])
def test_list_of_runs(snap_compare, run_list, size):
    assert snap_compare(run_list(), terminal_size=size, run_before=pressing("down", "space"))


def test_deletion(snap_compare, run_list):
    assert snap_compare(run_list(), terminal_size=(80, 24), run_before=pressing("end", "x", "t", "enter"))
