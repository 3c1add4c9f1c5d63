"""A screen in a process of its own: it steers a run that it did not start, and leaves it as it is."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.protocol import events as e
from engine.protocol.events import Activity
from tests.e2e.terminal_session import TerminalSession, clean_environment, forked, program
from tests.e2e.test_steering import assert_given_back, events_of, poisoned, state_of
from tests.forked import ForkedProcess

pytestmark = pytest.mark.timeout(240)

SIZE = (120, 40)


def until(holds: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert holds()


def start(folder: Path, *words: str) -> ForkedProcess:
    """Start a training without a screen or a terminal. Its steps take their time: the screens are tested."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    try:
        training = poisoned("pace", "--no-ui", "--quiet", *words)
        return ForkedProcess(training, folder, clean_environment(), (nowhere, nowhere, nowhere))
    finally:
        os.close(nowhere)


def has_begun(directory: Path) -> bool:
    """Return whether the run has a complete journal and has started."""
    try:
        return bool(events_of(directory, e.RunStarted))
    except UserError:
        return False


@pytest.fixture
def training(folder: Path) -> Iterator[ForkedProcess]:
    """A run `one` without a screen that has taken some steps."""
    process = start(folder, "--config", "small.yaml", "--run", "one")
    try:
        until(lambda: has_begun(folder / "runs/one"))
        yield process
    finally:
        process.kill()
        process.wait(30)


def goes_on(training: ForkedProcess, directory: Path) -> None:
    """Assert that the run takes further steps and that no one asked it to stop."""
    step = state_of(directory).step
    until(lambda: state_of(directory).step > step)
    assert training.poll() is None and events_of(directory, e.StopRequested) == []


def test_a_run_is_steered_from_another_terminal_and_goes_on(folder: Path, training: ForkedProcess) -> None:
    directory = folder / "runs/one"
    with TerminalSession(program("attach", "latest"), folder, size=SIZE) as terminal:
        terminal.wait_for("▶ running", "steps/s", "q leave")
        before = state_of(directory).lr
        terminal.press("l")
        terminal.wait_for("lower LR: applied")
        (scaled,) = events_of(directory, e.LrScaled)
        assert isinstance(scaled, e.LrScaled) and scaled.after == pytest.approx(scaled.before / 2)
        assert state_of(directory).lr == pytest.approx(before / 2, rel=0.05)
        terminal.press("q")
        assert terminal.wait() == 0
        assert_given_back(terminal)
    goes_on(training, directory)


@pytest.mark.slow
def test_a_viewer_sends_nothing_and_two_screens_agree(folder: Path, training: ForkedProcess) -> None:
    directory = folder / "runs/one"
    with (
        TerminalSession(forked("attach", "one", "--read-only"), folder, size=SIZE) as viewer,
        TerminalSession(forked("attach", "one"), folder, size=SIZE) as other,
    ):
        viewer.wait_for("▶ running", "read-only")
        viewer.press("l")
        viewer.wait_for("lower LR: refused", "this screen is read-only")
        assert events_of(directory, e.LrScaled) == []
        other.wait_for("▶ running")
        other.press(" ")
        viewer.wait_for("‖ paused")
        other.wait_for("‖ paused")
        other.press(" ")
        viewer.wait_for("▶ running")
        viewer.press("\x03")
        viewer.wait_for("ctrl+c again leaves the screen")
        viewer.press("\x03")
        assert viewer.wait() == 0
        other.press("q")
        assert other.wait() == 0
    goes_on(training, directory)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_ends_the_screen_and_never_the_run(
    folder: Path, training: ForkedProcess, number: signal.Signals
) -> None:
    with TerminalSession(forked("attach", "one"), folder, size=SIZE) as terminal:
        terminal.wait_for("▶ running")
        terminal.process.send_signal(number)
        assert terminal.wait() == 0
        assert_given_back(terminal)
    goes_on(training, folder / "runs/one")


def test_a_closed_terminal_ends_the_screen_and_never_the_run(folder: Path, training: ForkedProcess) -> None:
    with TerminalSession(forked("attach", "one"), folder, size=SIZE) as terminal:
        terminal.wait_for("▶ running")
        terminal.hang_up()
        assert terminal.process.wait(30) == 0
    goes_on(training, folder / "runs/one")


def test_a_killed_run_is_shown_as_failed_and_followed_when_it_is_resumed(folder: Path, training: ForkedProcess) -> None:
    directory = folder / "runs/one"
    until(lambda: bool(events_of(directory, e.CheckpointSaved)))
    with TerminalSession(forked("attach", "one"), folder, size=SIZE) as terminal:
        terminal.wait_for("▶ running")
        training.kill()
        training.wait(30)
        terminal.wait_for("its process is gone without a word", "--resume one")
        terminal.press("l")
        terminal.wait_for("lower LR: refused", "is not running")
        with start(folder, "--resume", "one") as resumed:
            try:
                terminal.wait_for("▶ running", "steps/s")
                terminal.wait_until(lambda text: "--resume one" not in text, "the end to disappear")
                resumed.terminate()
                assert resumed.wait(60) == 128 + signal.SIGTERM
            finally:
                resumed.kill()
        terminal.wait_for("stopped", "q leaves")
        terminal.press("q")
        assert terminal.wait() == 0
    assert state_of(directory).activity is Activity.FINISHED
