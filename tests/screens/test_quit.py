"""How a screen is left: by a stop with a checkpoint, by a detach, by signals, and after the end."""

from __future__ import annotations

import signal
from contextlib import closing

import pytest
from textual.widgets import Static

from cockpit.ui.screens.main_screen import MainScreen
from cockpit.ui.screens.quit import QuitScreen
from engine.protocol import commands as c
from tests.recorded_run import RecordedRun, record_run
from tests.screens.test_app import Ended, FakeTraining, answer, cockpit, live_run, shown, until


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    return record_run(tmp_path_factory.mktemp("runs") / "demo", steps=120)


async def test_q_leaves_a_run_of_somebody_else_at_once(recorded):
    async with cockpit(recorded) as (app, pilot):
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running)


async def test_q_asks_before_it_ends_a_training_here(recorded):
    training = FakeTraining()
    async with cockpit(recorded, training=training) as (app, pilot):
        assert training.started == 1
        await pilot.press("q")
        assert isinstance(app.screen, QuitScreen)
        await pilot.press("escape")
        assert isinstance(app.screen, MainScreen) and not training.stopped
        await pilot.press("ctrl+c", "ctrl+c")
        await until(pilot, lambda: "stopping: the checkpoint is written" in shown(app))
        assert training.stopped == [0]
        training.ended = Ended(0)
        await until(pilot, lambda: not app.is_running)


@pytest.mark.parametrize("keys", [("q", "d"), ("q", "down", "enter"), ("D",), ("q", "click")], ids=" ".join)
async def test_a_detach_closes_the_screen_and_asks_the_training_for_nothing(tmp_path, keys):
    with closing(live_run(tmp_path / "live")) as run:
        training = FakeTraining()
        async with cockpit(run.directory, training=training, cannot_detach="") as (app, pilot):
            await until(pilot, lambda: "D detach" in shown(app))
            for key in keys:
                if key == "click":
                    await pilot.click("OptionList", offset=(10, 1))
                else:
                    await pilot.press(key)
            await until(pilot, lambda: not app.is_running)
            assert app.shutdown.is_detached and training.stopped == []
            assert not app._controller.session.pending


async def test_a_training_that_has_not_begun_is_not_left_alone(tmp_path):
    run = RecordedRun(tmp_path / "live")
    with closing(run):
        training = FakeTraining()
        async with cockpit(run.directory, training=training, cannot_detach="") as (app, pilot):
            await pilot.press("q", "d")
            assert isinstance(app.screen, QuitScreen) and "not now: the training has not begun" in shown(app)
            run.begin()
            run.train(2)
            await until(pilot, lambda: "Detach (the training goes on)" in shown(app))
            await pilot.press("d")
            await until(pilot, lambda: not app.is_running)
            assert app.shutdown.is_detached and training.stopped == []


async def test_a_screen_that_cannot_be_detached_gives_the_reason_everywhere(tmp_path):
    with closing(live_run(tmp_path / "live")) as run:
        training = FakeTraining()
        async with cockpit(run.directory, training=training, cannot_detach="no second process") as (app, pilot):
            assert "D detach" not in shown(app)
            await pilot.press("D")
            await until(pilot, lambda: "detach: no second process" in answer(app))
            await pilot.press("q", "d", "down", "up", "down")
            assert "Detach - not now: no second process" in shown(app)
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, MainScreen))
            await pilot.press("question_mark")
            words = " ".join("\n".join(str(part.render()) for part in app.screen.query(Static)).split())
            assert "the training goes on in the background - no second process" in words
            await pilot.press("escape", "colon", *"detach")
            await until(pilot, lambda: "not now: no second process" in " ".join(shown(app).split()))
            assert training.stopped == [] and not app.shutdown.is_detached


async def test_nothing_is_left_to_detach_from_after_the_end(recorded):
    training = FakeTraining()
    async with cockpit(recorded, training=training, cannot_detach="") as (app, pilot):
        training.ended = Ended(0)
        await until(pilot, lambda: "q leaves" in shown(app))
        await pilot.press("D")
        await until(pilot, lambda: "detach: the training has ended" in answer(app))
        assert app.is_running and "D detach" not in shown(app)


async def test_a_third_interrupt_by_key_ends_the_process_as_the_signal_would(recorded, monkeypatch):
    raised = []
    monkeypatch.setattr("cockpit.app.shutdown.signal.raise_signal", raised.append)
    async with cockpit(recorded, training=FakeTraining()) as (_, pilot):
        await pilot.press("ctrl+c", "ctrl+c")
        await pilot.pause(0.1)
        assert raised == []
        await pilot.press("ctrl+c")
        assert raised == [signal.SIGINT, signal.SIGINT]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_closes_the_screen_of_a_training_that_has_ended(recorded, number):
    async with cockpit(recorded, training=FakeTraining(Ended(0))) as (app, pilot):
        assert app.is_running
        app.signalled(number)
        await until(pilot, lambda: not app.is_running)


async def test_a_living_run_is_stopped_by_a_command(tmp_path):
    with closing(live_run(tmp_path / "live")) as run:
        training = FakeTraining()
        async with cockpit(run.directory, training=training) as (app, pilot):
            await pilot.press("q", "y")
            await until(
                pilot, lambda: any(isinstance(pending.command, c.Stop) for pending in app._controller.session.pending)
            )
            assert training.stopped == []


async def test_the_end_of_training_keeps_the_screen_and_q_leaves(recorded):
    training = FakeTraining()
    async with cockpit(recorded, training=training) as (app, pilot):
        training.ended = Ended(0)
        await until(pilot, lambda: "q leaves" in shown(app))
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running)
