"""After any end, the run is safe and the terminal is restored."""

from __future__ import annotations

import shlex
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.protocol.events import Activity
from engine.training.checkpoint.file import list_checkpoints, load_checkpoint
from tests.e2e.terminal_session import TerminalSession, forked, program
from tests.e2e.test_steering import assert_given_back, poisoned, running, state_of

pytestmark = pytest.mark.timeout(240)

WORDS = ("--config", "small.yaml", "--run", "one")


def until(holds: object, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_closed_terminal_ends_the_run_with_a_checkpoint(folder: Path) -> None:
    with TerminalSession(poisoned("pace", *WORDS), folder) as terminal:
        running(terminal)
        terminal.hang_up()
        assert terminal.process.wait(60) == 128 + signal.SIGHUP
    state = state_of(folder / "runs/one")
    assert state.activity is Activity.FINISHED
    assert load_checkpoint(list_checkpoints(folder / "runs/one/checkpoints")[-1])["step"] == state.step


def test_a_run_that_is_to_keep_running_goes_on_without_its_terminal(folder: Path) -> None:
    with TerminalSession(poisoned("pace", *WORDS, "--keep-running"), folder) as terminal:
        running(terminal)
        trainer = terminal.trainer()
        terminal.hang_up()
        assert terminal.process.wait(60) == 0
        closed_at = state_of(folder / "runs/one").step
        until(lambda: state_of(folder / "runs/one").step > closed_at + 5, seconds=60)
        assert trainer.is_running()
        trainer.terminate()
        until(lambda: not trainer.is_running())
    assert state_of(folder / "runs/one").activity is Activity.FINISHED


def test_a_failure_of_the_engine_is_shown_with_its_traceback_and_the_screen_stays(folder: Path) -> None:
    with TerminalSession(poisoned("failure", *WORDS), folder, size=(120, 40)) as terminal:
        terminal.wait_for("RuntimeError: the dice is loaded [red]\\x1b[31m", "q leaves", "[log]", "poisoned_main.py")
        assert terminal.process.poll() is None
        terminal.press("q")
        assert terminal.wait() == 1
        assert "failed: RuntimeError" in terminal.text()
        assert_given_back(terminal)


def test_what_the_program_prints_goes_to_the_log_and_never_to_the_screen(folder: Path) -> None:
    with TerminalSession(poisoned("chatter", *WORDS), folder, size=(120, 40)) as terminal:
        terminal.press("\x1b[17~")
        terminal.wait_until(lambda _: step_of(folder) > 25, "the chatter to be over")
        terminal.press("\x1b[17~")
        printed = ("a print", "a clearing print", "a native write to 1", "a native write to 2", "a child process")
        terminal.wait_for(*printed, "a warning", "[log]")
        assert b"\x1b[2J\x1b[Ha clearing" not in terminal.written()
        terminal.process.send_signal(signal.SIGTERM)
        terminal.wait()
    log = (folder / "runs/one/console.log").read_text()
    assert all(text in log for text in (*printed, "a warning"))


def step_of(folder: Path) -> int:
    """Return the step of the run in `folder`; 0 before its first record."""
    try:
        return state_of(folder / "runs/one").step
    except (UserError, AssertionError):
        return 0


def test_a_panel_that_fails_is_switched_off_and_the_training_goes_on(folder: Path) -> None:
    with TerminalSession(poisoned("header", *WORDS), folder) as terminal:
        terminal.wait_for("ZeroDivisionError: a broken header", "Run is switched off")
        terminal.wait_until(lambda _: step_of(folder) > 20, "the training to go on")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.wait() == 128 + signal.SIGTERM
    assert "ZeroDivisionError: a broken header" in (folder / "runs/one/console.log").read_text()


def test_a_screen_that_fails_gives_way_to_the_console_reporter(folder: Path) -> None:
    with TerminalSession(poisoned("screen", *WORDS), folder) as terminal:
        terminal.wait_for("the screen failed", "the training continues")
        terminal.wait_until(lambda _: step_of(folder) > 20, "the training to go on")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.wait() == 128 + signal.SIGTERM
        assert_given_back(terminal)


def test_the_terminal_is_given_back_even_after_sigkill(folder: Path) -> None:
    with TerminalSession(program(*WORDS), folder) as terminal:
        terminal.wait_for("one")
        terminal.trainer().kill()
        assert terminal.process.wait(10) == -signal.SIGKILL
        until(lambda: terminal.attributes() == terminal.before, seconds=10)
        until(lambda: terminal.written().rfind(b"\x1b[?1049l") > 0, seconds=5)
        terminal.wait()  # until all is read
        assert_given_back(terminal)


def test_the_second_interrupt_ends_at_once_and_gives_the_terminal_back(folder: Path) -> None:
    with TerminalSession(program(*WORDS), folder) as terminal:
        terminal.wait_for("one")
        terminal.process.send_signal(signal.SIGSTOP)
        time.sleep(0.1)
        for _ in range(2):
            terminal.process.send_signal(signal.SIGCONT)
            terminal.process.send_signal(signal.SIGINT)
            time.sleep(0.15)
        assert terminal.process.wait(60) == 130
        assert terminal.attributes() == terminal.before
        terminal.wait()
        assert_given_back(terminal)


def test_a_screen_that_was_suspended_comes_back(folder: Path) -> None:
    slow = poisoned("pace", *WORDS)
    script = f"set -m; {shlex.join([sys.executable, str(slow.script), *slow.words])}; echo stopped $?; fg"
    with TerminalSession(["bash", "-c", script], folder) as terminal:
        running(terminal)
        since = len(terminal.written())
        terminal.press("\x1a")
        until(lambda: b"\x1b[?1049h" in terminal.written(since))
        assert b"stopped 148" in terminal.written(since)
        terminal.wait_for("▶ running", "charts")
        terminal.press("q")
        terminal.wait_for("Stop the training?")
        terminal.press("y")
        assert terminal.wait() == 0


def test_a_screen_that_no_shell_could_continue_is_not_suspended(folder: Path) -> None:
    with TerminalSession(poisoned("pace", *WORDS), folder) as terminal:
        running(terminal)
        since = len(terminal.written())
        terminal.process.send_signal(signal.SIGTSTP)
        until(lambda: b"\x1b[?1049h" in terminal.written(since))
        terminal.wait_for("▶ running", "charts")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.wait() == 128 + signal.SIGTERM


def test_a_screen_that_was_stopped_reads_its_keys_once_and_ends(folder: Path) -> None:
    with TerminalSession(forked(*WORDS), folder) as terminal:
        running(terminal)
        tasks = Path(f"/proc/{terminal.trainer().pid}/task")
        num_threads = threads_at_rest(tasks)
        for _ in range(3):
            since = len(terminal.written())
            terminal.process.send_signal(signal.SIGSTOP)
            terminal.process.send_signal(signal.SIGCONT)
            until(lambda since=since: b"\x1b[?1049h" in terminal.written(since))
        until(lambda: len(list(tasks.iterdir())) == num_threads, seconds=10)
        terminal.press("\x1b[15~")
        terminal.wait_for("[events]")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.wait() == 128 + signal.SIGTERM


def threads_at_rest(tasks: Path) -> int:
    """Return the least number of threads within a second: some last only for a moment."""
    counts: list[int] = []
    for _ in range(20):
        counts.append(len(list(tasks.iterdir())))
        time.sleep(0.05)
    return min(counts)


@pytest.mark.parametrize("times", [1, 2])
def test_a_closed_terminal_ends_the_process_though_the_kernel_continues_it(folder: Path, times: int) -> None:
    with TerminalSession(poisoned("pace", *WORDS), folder) as terminal:
        running(terminal)
        terminal.hang_up()
        for _ in range(times):
            terminal.process.send_signal(signal.SIGCONT)
        assert terminal.process.wait(60) == 128 + signal.SIGHUP


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--config", "smal.yaml"), "smal.yaml"),
        (("--set", "training.learning_rat=1"), "did you mean 'training.learning_rate'"),
        (("--resume", "nothing"), "there is no run 'nothing'"),
        (("--run", "../up"), "cannot be a run's name"),
    ],
)
def test_a_mistake_is_one_sentence_after_the_screen_has_gone(folder: Path, words: tuple[str, ...], said: str) -> None:
    with TerminalSession(forked(*words), folder, size=(160, 24)) as terminal:
        assert terminal.wait() == 2
        assert said in terminal.text()
        assert "Traceback" not in terminal.text()
        assert b"\x1b[?1049h" not in terminal.written() or assert_given_back(terminal) is None
    assert not list(folder.glob("runs/*"))


def test_a_mistake_in_the_settings_is_said_before_anything_opens(folder: Path) -> None:
    settings = folder / "config" / "training-cockpit" / "cockpit.yaml"
    settings.parent.mkdir(parents=True)
    settings.write_text("thme: cockpit-light\n")
    with TerminalSession(program(*WORDS), folder, size=(160, 24)) as terminal:
        assert terminal.wait() == 2
        said = "cockpit.yaml:1: there is no setting 'thme'; did you mean 'theme'?"
        assert "".join(said.split()) in "".join(terminal.text().split())  # a line ends where the folder's name lets it
        assert b"\x1b[?1049h" not in terminal.written()
    assert not list(folder.glob("runs/*"))


def test_a_terminal_that_cannot_move_its_cursor_gets_the_console_reporter(folder: Path) -> None:
    words = (*WORDS, "--max-steps", "5")
    with TerminalSession(forked(*words), folder, environment={"TERM": "dumb"}) as terminal:
        assert terminal.wait() == 0
        assert b"cannot move its cursor: continuing as with --no-ui" in terminal.written()
        assert b"\x1b[?1049h" not in terminal.written()


def test_the_screen_follows_the_size_of_the_terminal(folder: Path) -> None:
    with TerminalSession(poisoned("pace", *WORDS), folder) as terminal:
        running(terminal)
        terminal.resize(200, 50)
        terminal.wait_for("autopilot", "boundary_refinement")
        terminal.resize(50, 12)
        terminal.wait_for("50 x 12 is too small", "the training continues")
        terminal.resize(80, 24)
        terminal.wait_for("[charts]")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.wait() == 128 + signal.SIGTERM


def test_a_run_directory_that_is_deleted_under_the_screen_is_said_on_it_and_made_again(folder: Path) -> None:
    directory = folder / "runs/one"
    calm = ("--set", "training.learning_rate=1e-6")  # the banner shows the newest alert: there is no other
    with TerminalSession(poisoned("pace", *WORDS, *calm), folder, size=(120, 40)) as terminal:
        running(terminal)
        shutil.rmtree(directory.rename(folder / "deleted"))
        terminal.wait_for("ALERT", "vanished")
        until(lambda: (directory / "checkpoints").is_dir() and list_checkpoints(directory / "checkpoints"))
        before = step_of(folder)
        until(lambda: step_of(folder) > before + 5)
        terminal.wait_for("▶ running")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.wait() == 128 + signal.SIGTERM
    assert state_of(directory).activity is Activity.FINISHED
    assert (directory / "console.log").exists()
