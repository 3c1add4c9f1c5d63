"""External disturbances of a training run: floods of commands, locks, clocks, unwritable folders."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.journal.disk.new_run import create_run
from engine.journal.reader import JournalReader
from engine.journal.sender import Sender, await_outcome
from engine.journal.store import JOURNAL_FILE
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.events import Status
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.loop import Loop
from engine.runtime.start.bootstrap import RunRequest
from engine.runtime.train import train
from tests.faulty import entries, run, series, state_of
from tests.small import small_config

NOBODY = 65534
ENDLESS = {"epochs": 100_000}


@contextmanager
def _training(directory: Path) -> Iterator[list[int]]:
    """A run that trains in a thread until the block ends; its exit code is in the list then."""
    directory.mkdir()
    interrupt, code = Interrupt(), list[int]()
    config = small_config(training=ENDLESS, validation={"every_epochs": 1000}, checkpoint={"every_epochs": 0})
    request = RunRequest(directory, config, device="cpu")
    thread = threading.Thread(target=lambda: code.append(train(request, interrupt)), daemon=True)
    thread.start()
    try:
        _wait_for_step(directory, 1)
        yield code
    finally:
        interrupt.signal = 15
        thread.join(60)


def _wait_for_step(directory: Path, step: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (directory / JOURNAL_FILE).exists() and _newest_step(directory) >= step:
            return
        time.sleep(0.02)
    raise AssertionError(f"step {step} was not reached in time")


def _newest_step(directory: Path) -> int:
    try:
        with closing(JournalReader(directory)) as reader:
            return reader.newest_ids().step
    except UserError:
        return 0


@pytest.mark.parametrize("num_commands", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_each_of_very_many_commands_gets_its_answer_and_the_run_trains_on(tmp_path: Path, num_commands: int) -> None:
    with _training(tmp_path / "run"):
        before = _newest_step(tmp_path / "run")
        with closing(Sender(tmp_path / "run")) as sender:
            numbers = [sender.send(c.AddNote(f"note {number}"), "flood") for number in range(num_commands - 1)]
            numbers.append(sender.send(c.SetGradientClip(0.25), "flood"))
        last = await_outcome(tmp_path / "run", numbers[-1], timeout=60)
        _wait_for_step(tmp_path / "run", before + 3)
    assert last is not None and last.status is Status.APPLIED
    answered = [entry.command_id for entry in entries(tmp_path / "run") if entry.command_id]
    assert sorted(answered) == numbers
    assert state_of(tmp_path / "run").gradient_clip == 0.25


def test_a_journal_that_another_process_locks_holds_up_no_step_and_loses_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.journal.store.BUSY_SECONDS", 1.0)
    with _training(tmp_path / "run") as code:
        with closing(sqlite3.connect(tmp_path / "run" / JOURNAL_FILE, isolation_level=None)) as intruder:
            intruder.execute("BEGIN EXCLUSIVE")
            locked_at = _newest_step(tmp_path / "run")
            time.sleep(2.5)  # longer than the writer waits for a lock
            assert _newest_step(tmp_path / "run") == locked_at
            intruder.execute("ROLLBACK")
        _wait_for_step(tmp_path / "run", locked_at + 20)
    assert code == [128 + 15]
    steps = list(series(tmp_path / "run", "loss/total"))
    assert steps == list(range(1, state_of(tmp_path / "run").step + 1))


def test_a_clock_that_steps_back_by_a_day_disturbs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turn, clock = Loop.turn, time.time

    def yesterday() -> float:
        return clock() - 86_400

    def turn_at_a_strange_hour(loop: Loop) -> str:
        if loop._recorder.state.step == 4:
            monkeypatch.setattr(time, "time", yesterday)
            monkeypatch.setattr(loop._recorder.journal, "_clock", yesterday)
        return turn(loop)

    monkeypatch.setattr(Loop, "turn", turn_at_a_strange_hour)
    assert run(tmp_path / "run", small_config(training={"epochs": 40, "max_steps": 12})) == 0
    assert list(series(tmp_path / "run", "loss/total")) == list(range(1, 13))
    numbers = [entry.id for entry in entries(tmp_path / "run")]
    assert numbers == sorted(numbers)
    times = [entry.time for entry in entries(tmp_path / "run")]
    assert min(times) < times[0] - 80_000


def test_a_second_process_on_the_run_is_refused_and_the_first_one_trains_on(tmp_path: Path) -> None:
    with _training(tmp_path / "run"):
        with pytest.raises(UserError, match="in use by process"):
            train(RunRequest(tmp_path / "run", small_config(), device="cpu", resume=True), Interrupt())
        _wait_for_step(tmp_path / "run", _newest_step(tmp_path / "run") + 3)
    assert not [entry for entry in entries(tmp_path / "run") if isinstance(entry.event, e.RunFailed)]


@contextmanager
def _as_somebody_who_may_not_write(folder: Path) -> Iterator[None]:
    """Make the folder and its content readable but not writable, even if the tests run as root."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    was = os.geteuid()
    if was == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(was)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o700)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return a folder that every user may enter."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_a_run_in_a_read_only_directory_is_read_and_not_resumed(open_folder: Path) -> None:
    directory = open_folder / "run"
    assert run(directory, small_config(training={"max_steps": 3})) == 0
    before = sorted(path.name for path in directory.rglob("*"))
    with _as_somebody_who_may_not_write(open_folder):
        with pytest.raises(UserError, match="cannot lock"):
            train(RunRequest(directory, small_config(), device="cpu", resume=True), Interrupt())
        with pytest.raises(UserError, match="cannot create a run"):
            create_run(open_folder, "another")
        assert list(series(directory, "loss/total")) == [1, 2, 3]
    assert sorted(path.name for path in directory.rglob("*")) == before
