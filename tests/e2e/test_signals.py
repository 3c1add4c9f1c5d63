"""A signal ends the program at every moment: exit code 128 + n, a restored terminal, and no processes left."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from engine.errors import UserError
from engine.journal.reader import JournalReader
from engine.protocol.events import Activity
from main import main
from tests.e2e.signalled_run import Started, end_by
from tests.e2e.terminal_session import TerminalSession, forked, program
from tests.e2e.test_steering import poisoned, state_of
from tests.forked import Forked

pytestmark = pytest.mark.timeout(240)

HANG_UP, INTERRUPT, TERMINATE = signal.SIGHUP, signal.SIGINT, signal.SIGTERM
WORDS = ("--config", "small.yaml", "--run", "one")


def until(holds: Callable[[], bool], started: Started, *, every: float = 0.001) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert started.process.poll() is None and time.monotonic() < deadline
        time.sleep(every)


def exists(name: str) -> Callable[[Started], None]:
    """The moment at which a file of the run appears."""
    return lambda started: until((started.directory / name).exists, started)


def is_at(activity: Activity, step: int = 0) -> Callable[[Started], None]:
    """The moment at which the journal says this."""

    def holds(directory: Path) -> bool:
        with suppress(UserError), closing(JournalReader(directory)) as reader:
            state = reader.state()
            return state is not None and state.activity is activity and state.step >= step
        return False

    return lambda started: until(lambda: holds(started.directory), started, every=0.01)


def later(seconds: float) -> Callable[[Started], None]:
    """So long after the start."""
    return lambda started: time.sleep(seconds)


THIN = (
    ("its directory is made", exists(""), HANG_UP, True),
    ("the screen takes the terminal", exists("console.log"), TERMINATE, True),
    ("torch is imported", exists("run.sqlite"), INTERRUPT, True),
    ("it trains", is_at(Activity.RUNNING, 3), INTERRUPT, True),
    ("its directory is made", exists(""), TERMINATE, False),
    ("torch is imported", exists("run.sqlite"), HANG_UP, False),
    ("it validates", is_at(Activity.VALIDATING), TERMINATE, False),
)
OFTEN = ("--set", "validation.every_epochs=1", "--set", "data.synthetic.num_val_scenes=12")
"""Validations that take a third of the time: one is soon seen."""


@pytest.mark.parametrize(("moment", "when", "number", "screen"), THIN)
def test_a_signal_ends_a_run_at_the_moment_that(
    folder: Path, moment: str, when: Callable[[Started], None], number: signal.Signals, screen: bool
) -> None:
    words = OFTEN if moment == "it validates" else ()
    start = forked if moment in ("it trains", "it validates") else program
    assert end_by(folder, number, when, screen=screen, words=words, start=start).wrongs(number) == []


@pytest.mark.parametrize("number", [HANG_UP, INTERRUPT, TERMINATE])
def test_a_signal_ends_the_screen_of_a_run_that_has_ended(folder: Path, number: signal.Signals) -> None:
    is_over = is_at(Activity.FINISHED)

    def when(started: Started) -> None:
        is_over(started)
        time.sleep(0.5)  # the screen has said so

    assert end_by(folder, number, when, screen=True, words=("--max-steps", "3"), start=forked).wrongs(number) == []


def test_a_signal_before_anything_was_made_leaves_nothing(folder: Path) -> None:
    """Sent while the program's own modules are imported, with Python's start behind it."""
    end = end_by(folder, INTERRUPT, lambda started: until(lambda: imports_ours(started), started), screen=False)
    assert end.wrongs(INTERRUPT) == []


def imports_ours(started: Started) -> bool:
    """Whether the process catches SIGTERM, which Python itself never does."""
    for line in Path(f"/proc/{started.process.pid}/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (signal.SIGTERM - 1) & 1)
    return False


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("screen", [True, False], ids=["screen", "no screen"])
@pytest.mark.parametrize("number", [HANG_UP, INTERRUPT, TERMINATE])
def test_a_signal_ends_a_run_at_every_moment_of_its_first_three_seconds(
    folder: Path, number: signal.Signals, screen: bool
) -> None:
    wrongs: dict[int, list[str]] = {}
    words = ("--set", "data.num_workers=1")
    for milliseconds in range(0, 3001, 50):
        shutil.rmtree(folder / "runs", ignore_errors=True)
        end = end_by(folder, number, later(milliseconds / 1000), screen=screen, words=words)
        if found := end.wrongs(number):
            wrongs[milliseconds] = found
    assert wrongs == {}


def test_a_key_typed_before_the_screen_is_there_is_answered_by_it(folder: Path) -> None:
    with TerminalSession(program(*WORDS), folder) as terminal:
        terminal.press("q")
        terminal.wait_for("Stop the training?")
        terminal.press("y")
        assert terminal.wait() == 0
        assert "Traceback" not in terminal.text()


@pytest.mark.slow
def test_a_hang_up_that_is_ignored_at_the_start_stays_ignored(folder: Path) -> None:
    goes_on_after_a_hang_up(["env", "--ignore-signal=HUP", *program(*WORDS, "--no-ui")], folder)


def test_keep_running_without_a_screen_goes_on_after_a_hang_up(folder: Path) -> None:
    goes_on_after_a_hang_up(forked(*WORDS, "--no-ui", "--keep-running"), folder)


def goes_on_after_a_hang_up(command: list[str] | Forked, folder: Path) -> None:
    """Assert that the run trains on after SIGHUP, until it is told to stop."""
    with TerminalSession(command, folder) as terminal:
        started = Started(terminal.process, folder / "runs/one")
        is_at(Activity.RUNNING, 3)(started)
        terminal.process.send_signal(HANG_UP)
        takes_steps(started, psutil.Process(terminal.process.pid))
        stop(started)
        assert terminal.wait() == 0


def test_a_terminal_that_is_closed_under_a_run_that_ignores_hang_ups_leaves_it_running(folder: Path) -> None:
    with TerminalSession(replace(poisoned("pace", *WORDS), ignored=[HANG_UP]), folder) as terminal:
        started = Started(terminal.process, folder / "runs/one")
        terminal.wait_for("▶ running")
        trainer = terminal.trainer()
        try:
            os.kill(terminal.process.pid, HANG_UP)
            takes_steps(started, trainer)
            terminal.hang_up()
            assert terminal.process.wait(60) == 0
            takes_steps(started, trainer)
            stop(started)
            trainer.wait(60)
        finally:
            with suppress(psutil.NoSuchProcess):
                trainer.kill()
    assert state_of(started.directory).activity is Activity.FINISHED


def takes_steps(started: Started, trainer: psutil.Process) -> None:
    """Wait until the run has taken three more steps: it goes on."""
    step, deadline = state_of(started.directory).step, time.monotonic() + 60
    while state_of(started.directory).step <= step + 2:
        assert trainer.is_running() and time.monotonic() < deadline
        time.sleep(0.05)


def stop(started: Started) -> None:
    """Send the command `stop`, as another terminal does."""
    runs_dir, name = started.directory.parent, started.directory.name
    assert main(["send", name, "stop", "--runs-dir", str(runs_dir)]) == 0
