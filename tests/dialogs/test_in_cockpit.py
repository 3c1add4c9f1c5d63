"""Steering in the whole cockpit: keys, footer, banner and palette against a run that answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList, Static
from textual.widgets._toast import Toast

from cockpit.app.app import CockpitApp
from cockpit.preferences.keymap import remap
from cockpit.preferences.settings import Settings
from cockpit.session.session import Session
from cockpit.ui.panels.charts.status_line import ChartStatus
from cockpit.ui.panels.status.pending_commands import PendingStrip
from cockpit.ui.screens.answer_strip import AnswerStrip
from engine.protocol import commands as c
from engine.protocol.events import Activity, RunFinished
from tests.dialogs.conftest import RED
from tests.dialogs.screen import press, raise_alert
from tests.recorded_run import RecordedRun
from tests.waiting import until


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@asynccontextmanager
async def cockpit_on(run: RecordedRun, size: tuple[int, int] = (100, 30), **settings) -> AsyncIterator[Pilot[None]]:
    """The cockpit on the run, once it has looked at it."""
    session = Session(run.directory)
    session.poll()
    app = CockpitApp(session, settings=Settings(reduced_motion=True, **settings))
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: bool(app.screen.query("#keys")))
        yield pilot
    session.close()


def strip(pilot: Pilot[None]) -> str:
    shown = pilot.app.screen_stack[0].query_one(PendingStrip)
    return str(shown.render()) if shown.display else ""


def answer(pilot: Pilot[None]) -> str:
    """What the strip of answers says."""
    (strip,) = pilot.app.screen_stack[0].query(AnswerStrip)
    assert strip.display is bool(strip.text)
    return strip.text


async def test_a_key_is_pending_until_the_run_answers(run):
    async with cockpit_on(run) as pilot:
        await press(pilot, "l")
        await until(pilot, lambda: "lower LR: LR 3.00e-03 -> 1.50e-03" in strip(pilot))
        assert [request.command for request in run.answer_commands()] == [c.ScaleLr(0.5)]
        await until(pilot, lambda: strip(pilot) == "")
        await until(pilot, lambda: bool(answer(pilot)))
        assert answer(pilot) == "✓ lower LR: applied at step 60: learning rate 3.00e-03 -> 1.50e-03"


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
        assert answer(pilot) == "✗ remedies: there is no alert to find a remedy for"


async def test_the_footer_is_clicked_like_a_key(run):
    async with cockpit_on(run) as pilot:
        footer = pilot.app.screen.query_one("#keys")
        at = str(footer.render()).index("pause")
        await pilot.click("#keys", offset=(at, 0))
        await until(pilot, lambda: "pause: running -> paused" in strip(pilot))


async def test_the_palette_steers(run):
    async with cockpit_on(run) as pilot:
        await press(pilot, "ctrl+p", *"validate")
        await until(pilot, lambda: "".join(offered(pilot)[:1]).startswith("validate"))
        await press(pilot, "enter")
        await until(pilot, lambda: "validate: runs at the step boundary" in strip(pilot))


async def test_a_remapped_key_steers_and_its_old_place_does_not(run):
    async with cockpit_on(run, keys=remap({"lower_lr": ["ctrl+d"]})) as pilot:
        await press(pilot, "l", "ctrl+d")
        await until(pilot, lambda: strip(pilot).count("lower LR") == 1)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)], ids=str)
async def test_an_answer_covers_nothing_and_goes_by_itself(run, size):
    async with cockpit_on(run, size=size) as pilot:
        await press(pilot, "l")
        run.answer_commands()
        await until(pilot, lambda: bool(answer(pilot)))
        await pilot.pause()
        screen = pilot.app.screen
        strip, shown = screen.query_one(AnswerStrip), [screen.query_one(ChartStatus), screen.query_one("#keys")]
        assert strip.region.height == 1 and not list(screen.query(Toast))
        assert not any(strip.region.overlaps(widget.region) for widget in shown if widget.display)
        screen.query_one(AnswerStrip).say("once more", seconds=0.05)
        await until(pilot, lambda: answer(pilot) == "")


async def test_a_long_answer_is_broken_between_words_and_ends_with_an_ellipsis(run):
    async with cockpit_on(run, size=(80, 24)) as pilot:
        pilot.app.notify(" ".join(f"word{number}" for number in range(60)), markup=False)
        await pilot.pause()
        lines = pilot.app.screen.query_one(AnswerStrip).lines(78)
        assert len(lines) == 3 and lines[-1].plain.endswith("…")
        assert all(line.plain.startswith("word") for line in lines)


@pytest.mark.parametrize("key", ["f", "+", "-", "[", "]", "0", "g", "s", "m", "x", "tab"])
async def test_a_key_of_the_charts_says_where_it_acts(run, key):
    async with cockpit_on(run) as pilot:
        await press(pilot, "f3")
        await until(pilot, lambda: pilot.app.screen.tab == "run")
        await press(pilot, key)
        assert answer(pilot).endswith("is for the charts: F2 shows them")


async def test_the_theme_key_says_which_theme_it_is(run):
    async with cockpit_on(run) as pilot:
        for theme in ("cockpit-light", "nord", "gruvbox", "cockpit-dark"):
            await press(pilot, "t")
            assert pilot.app.theme == theme and theme in answer(pilot)


async def test_the_bottom_line_follows_what_the_run_does(run):
    async with cockpit_on(run, size=(80, 24)) as pilot:
        keys = pilot.app.screen.query_one("#keys")
        assert "one step" not in str(keys.render())
        run.observe(activity=Activity.PAUSED)
        await until(pilot, lambda: "space resume  n one step" in str(keys.render()))
        raise_alert(run)
        await until(pilot, lambda: "a acknowledge  A remedies" in str(keys.render()))
        run.note(RunFinished("complete", 30.0))
        await until(pilot, lambda: "n one step" not in str(keys.render()))
        assert "l LR lower" not in str(keys.render()) and "q quit" in str(keys.render())


async def test_the_palette_says_of_a_run_that_is_over_what_is_not_for_now(run):
    run.note(RunFinished("complete", 30.0))
    async with cockpit_on(run, size=(100, 40)) as pilot:
        await press(pilot, "ctrl+p", *"validate")
        await until(pilot, lambda: any("not now" in option for option in offered(pilot)))
        assert "not now: the run is finished" in "".join(offered(pilot))


def offered(pilot: Pilot[None]) -> list[str]:
    """What the palette lists."""
    listed = pilot.app.screen.query_one(OptionList)
    return [str(listed.get_option_at_index(number).prompt) for number in range(listed.option_count)]


async def test_answers_that_come_together_are_shown_together(run):
    async with cockpit_on(run) as pilot:
        await press(pilot, "b", "2", "tab", "8", "enter")
        await until(pilot, lambda: "accumulation: 1 -> 2" in strip(pilot))
        run.answer_commands()
        await until(pilot, lambda: bool(answer(pilot)))
        first, second = answer(pilot).splitlines()
        assert first.startswith("✓ accumulation: applied at step 60: accumulation 1 -> 2")
        assert second.startswith("✓ batch size: applied at step 60: batch size ")
