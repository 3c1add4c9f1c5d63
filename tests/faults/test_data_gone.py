"""Data that become unreachable during training: an alert, a wait, then either an unchanged run or a checkpoint."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from engine.errors import UserError
from engine.journal.disk.run_dir import CHECKPOINTS
from engine.journal.sender import await_outcome, send
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.loop import Loop
from engine.runtime.outages import data_supply
from engine.runtime.outages.data_supply import Supply
from engine.runtime.start.bootstrap import RunRequest
from engine.runtime.train import train
from engine.task import DataGoneError
from engine.tasks.person.config import PersonConfig
from engine.tasks.person.data.cache import PictureCache
from engine.tasks.person.data.readers.coco.reader import CocoScene
from engine.tasks.person.data.readers.scenes import Picture
from engine.training.checkpoint.file import list_checkpoints, load_checkpoint
from engine.training.data.batch import Batch
from tests.console.scripted import FakeClock
from tests.faulty import entries, run, same_weights, state_of
from tests.small import small_config
from tests.tasks.person.data.builders import write_coco, write_mask_folders


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """People on disk, without any cache in memory."""
    monkeypatch.setattr(PictureCache, "_keep", lambda cache, index, picture: None)
    return write_coco(tmp_path / "data")


@pytest.fixture
def hung() -> Iterator[threading.Event]:
    """Set when reading in this process begins to hang, as on a network that does not answer; it ends with the test."""
    hung, is_over, read = threading.Event(), threading.Event(), CocoScene.read

    def read_or_hang(scene: CocoScene) -> Picture:
        if hung.is_set():
            is_over.wait()
        return read(scene)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(CocoScene, "read", read_or_hang)
        yield hung
        is_over.set()


def config_of(data: Path, **more: object) -> PersonConfig:
    settings = {"path": str(data), "min_person_pixels": 8, "wait_seconds": 30.0, **more}
    return small_config(training={"epochs": 40, "max_steps": 8, "batch_size": 2}, data=settings)


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, action: Callable[[Loop], object]) -> None:
    """Have `action` done once, at the boundary before `step`."""
    turn, done = Loop.turn, list[int]()

    def turn_with_action(loop: Loop) -> str:
        if loop._recorder.state.step == step and not done:
            done.append(step)
            action(loop)
        return turn(loop)

    monkeypatch.setattr(Loop, "turn", turn_with_action)


def on_first_wait(monkeypatch: pytest.MonkeyPatch, action: Callable[[Supply], object]) -> None:
    """Have `action` done the first time that the run waits for data that are gone."""
    wait, done = Supply.wait, list[int]()

    def wait_with_action(supply: Supply, error: object) -> None:
        if not done:
            done.append(1)
            action(supply)
        wait(supply, error)  # type: ignore[arg-type]

    monkeypatch.setattr(Supply, "wait", wait_with_action)


def images_gone(data: Path) -> None:
    (data / "images").rename(data / "elsewhere")


def images_back(data: Path) -> None:
    (data / "elsewhere").rename(data / "images")


def alerts(directory: Path, kind: str) -> list[e.AlertRaised]:
    found = [entry.event for entry in entries(directory, e.AlertRaised)]
    return [event for event in found if isinstance(event, e.AlertRaised) and event.kind == kind]


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_data_that_come_back_cost_nothing_but_the_time(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    assert run(tmp_path / "calm", config_of(data)) == 0

    def unmount(loop: Loop) -> None:
        images_gone(data)
        for process in loop._train_state.stream.worker_ids:
            os.kill(process, signal.SIGKILL)

    at_step(monkeypatch, 3, unmount)
    on_first_wait(monkeypatch, lambda supply: images_back(data))
    assert run(tmp_path / "run", config_of(data, num_workers=workers)) == 0
    assert same_weights(tmp_path / "run", tmp_path / "calm")
    (alert,) = alerts(tmp_path / "run", "data")
    assert "the data cannot be reached" in alert.message and str(data) in alert.message
    assert "the data are there again" in repr(entries(tmp_path / "run", e.NoteAdded)[-1].event)


def test_data_that_stay_away_end_the_run_with_a_checkpoint_and_it_goes_on_from_there(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(tmp_path / "calm", config_of(data)) == 0
    with monkeypatch.context() as patched:
        at_step(patched, 4, lambda loop: images_gone(data))
        assert run(tmp_path / "run", config_of(data, wait_seconds=0.2)) == 1
    state = state_of(tmp_path / "run")
    assert state.step >= 4
    assert load_checkpoint(list_checkpoints(tmp_path / "run" / CHECKPOINTS)[-1])["step"] == state.step
    (failed,) = entries(tmp_path / "run", e.RunFailed)
    assert "the data could not be reached" in repr(failed.event) and "--resume" in repr(failed.event)
    assert "Traceback" not in (tmp_path / "run" / "console.log").read_text()
    images_back(data)
    assert run(tmp_path / "run", config_of(data), resume=True) == 0
    assert same_weights(tmp_path / "run", tmp_path / "calm")


@pytest.mark.parametrize("how", ["empty", "root", "masks"])
def test_every_way_of_going_away_is_one_of_the_whole(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how == "masks":
        data = write_mask_folders(tmp_path / "folders", 10)

    def vanish(loop: Loop) -> None:
        if how == "root":
            data.rename(tmp_path / "unmounted")
        else:
            for file in [*data.rglob("*.png")]:
                file.unlink()

    at_step(monkeypatch, 3, vanish)
    assert run(tmp_path / "run", config_of(data, wait_seconds=0.0)) == 1
    assert len(alerts(tmp_path / "run", "data")) == 1
    assert list_checkpoints(tmp_path / "run" / CHECKPOINTS)[-1].name != "step-00000000.pt"


def test_one_file_of_many_that_goes_away_costs_its_samples_alone(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_step(monkeypatch, 2, lambda loop: (data / "images" / "2.png").unlink())
    assert run(tmp_path / "run", config_of(data)) == 0
    (rejected,) = entries(tmp_path / "run", e.SampleRejected)
    assert "2.png" in repr(rejected.event) and not alerts(tmp_path / "run", "data")


def test_data_that_are_gone_at_a_validation_are_waited_for_too(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(tmp_path / "calm", config_of(data)) == 0
    end_epoch, done = Loop._end_epoch, list[int]()

    def end_without_data(loop: Loop) -> None:
        if not done:
            done.append(1)
            images_gone(data)
        end_epoch(loop)

    monkeypatch.setattr(Loop, "_end_epoch", end_without_data)
    on_first_wait(monkeypatch, lambda supply: images_back(data))
    assert run(tmp_path / "run", config_of(data)) == 0
    assert same_weights(tmp_path / "run", tmp_path / "calm")
    assert len(entries(tmp_path / "run", e.ValidationCompleted)) == len(
        entries(tmp_path / "calm", e.ValidationCompleted)
    )


def test_a_run_without_its_data_can_be_paused_and_stopped(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: dict[str, int] = {}

    def steer(supply: Supply) -> None:
        sent["pause"] = send(tmp_path / "run", c.Pause(), actor="person")
        sent["stop"] = send(tmp_path / "run", c.Stop("no data"), actor="person")

    at_step(monkeypatch, 3, lambda loop: images_gone(data))
    on_first_wait(monkeypatch, steer)
    assert run(tmp_path / "run", config_of(data)) == 0
    assert all(await_outcome(tmp_path / "run", number, 1).status is e.Status.APPLIED for number in sent.values())
    assert entries(tmp_path / "run", e.RunFinished)


@pytest.mark.parametrize(("workers", "step"), [(0, 3), (1, 4)], ids=["thread-in-validation", "worker-in-training"])
def test_a_signal_is_heard_while_a_reader_hangs(
    tmp_path: Path,
    data: Path,
    hung: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
    step: int,
) -> None:
    interrupt = Interrupt()

    def hang(loop: Loop) -> None:
        hung.set()
        for process in loop._train_state.stream.worker_ids:
            os.kill(process, signal.SIGSTOP)
        threading.Timer(0.5, lambda: setattr(interrupt, "signal", signal.SIGTERM)).start()

    at_step(monkeypatch, step, hang)
    (tmp_path / "run").mkdir()
    request = RunRequest(tmp_path / "run", config_of(data, num_workers=workers), device="cpu")
    assert train(request, interrupt) == 143
    assert load_checkpoint(list_checkpoints(tmp_path / "run" / CHECKPOINTS)[-1])["step"] >= step


@pytest.mark.slow
def test_a_worker_that_is_stuck_is_named_and_replaced_and_no_bit_changes(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(tmp_path / "calm", config_of(data)) == 0
    stopped: list[int] = []

    def stop_workers(loop: Loop) -> None:
        stopped.extend(loop._train_state.stream.worker_ids)
        for process in stopped:
            os.kill(process, signal.SIGSTOP)

    at_step(monkeypatch, 3, stop_workers)
    assert run(tmp_path / "run", config_of(data, num_workers=1, timeout_seconds=2.0)) == 0
    assert same_weights(tmp_path / "run", tmp_path / "calm")
    named = [alert.message for alert in alerts(tmp_path / "run", "data worker")]
    assert any(f"data worker {stopped[0]} has given nothing" in message for message in named)


def test_a_thread_that_is_stuck_ends_as_data_that_are_gone(
    tmp_path: Path, data: Path, hung: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_step(monkeypatch, 4, lambda loop: hung.set())
    assert run(tmp_path / "run", config_of(data, timeout_seconds=0.2, wait_seconds=0.0)) == 1
    (alert,) = alerts(tmp_path / "run", "data")
    assert "reading has given nothing" in alert.message


def test_a_pause_does_not_count_as_waiting_for_the_data(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is paused for longer than it waits, and the data come back a moment after it goes on."""
    directory, clock, waits, pauses = tmp_path / "run", FakeClock(), list[int](), list[int]()
    turn, stand_still, wait = Loop.turn, Loop._stand_still, Supply.wait

    def turn_for_a_second(loop: Loop) -> str:
        clock.advance(1.0)
        return turn(loop)

    def stand_still_20_times(loop: Loop) -> None:
        stand_still(loop)
        pauses.append(1)
        if len(pauses) == 20:
            send(directory, c.Resume(), "test")

    def wait_in_a_pause(supply: Supply, error: DataGoneError) -> None:
        waits.append(1)
        if len(waits) == 1:
            send(directory, c.Pause(), "test")
        else:
            images_back(data)
            monkeypatch.setattr(Supply, "wait", wait)
        wait(supply, error)

    monkeypatch.setattr(data_supply, "time", SimpleNamespace(monotonic=clock, sleep=clock.advance))
    monkeypatch.setattr(Loop, "turn", turn_for_a_second)
    monkeypatch.setattr(Loop, "_stand_still", stand_still_20_times)
    monkeypatch.setattr(Supply, "wait", wait_in_a_pause)
    at_step(monkeypatch, 3, lambda loop: images_gone(data))
    assert run(directory, config_of(data, wait_seconds=10.0)) == 0
    assert len(pauses) >= 20 and len(alerts(directory, "data")) == 1 and state_of(directory).step == 8


def test_a_run_that_ends_while_it_draws_a_step_draws_all_of_its_batches_again(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second of a step's two batches cannot be made, and the run ends with a checkpoint."""
    settings = {"epochs": 40, "max_steps": 6, "batch_size": 1, "accumulation": 2}
    config = small_config(training=settings, data={"path": str(data), "min_person_pixels": 8})
    assert run(tmp_path / "calm", config) == 0
    drawn: list[Batch] = []

    def fail_at_the_second(loop: Loop) -> None:
        stream = loop._train_state.stream
        following = stream.next

        def following_but_one() -> Batch:
            if drawn and not drawn[-1].ends_epoch:
                raise UserError("5 data workers died one after the other")
            drawn.append(following())
            return drawn[-1]

        monkeypatch.setattr(stream, "next", following_but_one)

    with monkeypatch.context() as patch:
        at_step(patch, 1, fail_at_the_second)
        assert run(tmp_path / "cut", config) == 1
    assert len(drawn) == 1 and state_of(tmp_path / "cut").step == 1
    assert run(tmp_path / "cut", config, resume=True) == 0
    assert same_weights(tmp_path / "calm", tmp_path / "cut")
