"""The real engine steered by keys on a real terminal, from the first frame to the summary and the resume."""

from __future__ import annotations

import signal
from contextlib import closing
from pathlib import Path

import pytest

from engine.journal.reader import JournalReader
from engine.protocol import events as e
from engine.protocol.events import Activity, Status
from engine.protocol.state import RunState
from tests.e2e.terminal_session import ROOT, TerminalSession, forked
from tests.forked import Forked

pytestmark = pytest.mark.timeout(240)

RESTORED = (b"\x1b[?1049l", b"\x1b[?25h", b"\x1b[?1000l", b"\x1b[?1003l", b"\x1b[?2004l", b"\x1b[?1004l", b"\x1b[<u")


def state_of(directory: Path) -> RunState:
    with closing(JournalReader(directory)) as reader:
        state = reader.state()
    assert state is not None
    return state


def events_of(directory: Path, kind: type[e.Event] | None = None) -> list[e.Event]:
    with closing(JournalReader(directory)) as reader:
        return [entry.event for entry in reader.events() if kind is None or isinstance(entry.event, kind)]


def only_event_of(terminal: TerminalSession, directory: Path, kind: type[e.Event]) -> e.Event:
    """Return the one event of this kind; it is written after the state that the screen shows."""
    terminal.wait_until(lambda _: bool(events_of(directory, kind)), f"{kind.__name__} in the journal")
    (event,) = events_of(directory, kind)
    return event


def assert_given_back(terminal: TerminalSession) -> None:
    """Every mode that a screen sets was ended after it was set for the last time."""
    written = terminal.written()
    opened = written.rfind(b"\x1b[?1049h")
    assert opened >= 0
    assert all(written.rfind(ended) > opened for ended in RESTORED), [x for x in RESTORED if written.rfind(x) <= opened]


def running(terminal: TerminalSession) -> str:
    return terminal.wait_for("▶ running", "steps/s")


def test_a_run_is_paused_slowed_promoted_stopped_and_resumed_by_keys(folder: Path) -> None:
    directory = folder / "runs" / "one"
    with TerminalSession(
        poisoned("pace", "--config", "small.yaml", "--run", "one"), folder, size=(120, 40)
    ) as terminal:
        terminal.wait_for("one")
        running(terminal)
        terminal.press(" ")
        terminal.wait_for("‖ paused")
        paused_at = state_of(directory).step
        terminal.press("l")
        terminal.wait_for("lower LR: applied")
        assert state_of(directory).lr == pytest.approx(5e-4, rel=0.05)
        terminal.press("p")
        terminal.wait_for("The gate to phase 2")
        terminal.press("\r")
        terminal.wait_for("The gate to phase 2")
        terminal.press("f")
        terminal.wait_until(lambda text: ("F" in text and "once more" in text) or "forced" in text, "the second key")
        terminal.press("F")
        terminal.wait_for("▶ 2 + active contour")
        assert state_of(directory).step == paused_at
        promoted = only_event_of(terminal, directory, e.PhasePromoted)
        assert isinstance(promoted, e.PhasePromoted) and promoted.forced
        terminal.press("n")
        terminal.wait_until(lambda _: state_of(directory).step == paused_at + 1, "one step")
        terminal.wait_for(f" {paused_at + 1}/", "‖ paused")
        terminal.press("q")
        terminal.wait_for("Stop the training?")
        terminal.press("\x1b")
        terminal.wait_until(lambda text: "Stop the training?" not in text, "the dialog to close")
        terminal.press(" ")
        running(terminal)
        terminal.press("q")
        terminal.wait_for("Stop the training?")
        terminal.press("y")
        assert terminal.wait() == 0
        assert_given_back(terminal)
        assert "python main.py --resume one" in terminal.text()
    assert state_of(directory).activity is Activity.FINISHED
    stopped = state_of(directory).step
    with TerminalSession(poisoned("pace", "--resume", "one"), folder) as terminal:
        running(terminal)
        terminal.wait_until(lambda _: state_of(directory).step > stopped + 3, "steps after the resume")
        assert state_of(directory).phase == 2
        before = terminal.attributes()
        assert before[3] != terminal.before[3]
        terminal.process.send_signal(signal.SIGTERM)
        terminal.process.wait(60)
        assert terminal.attributes() == terminal.before
        assert terminal.wait() == 128 + signal.SIGTERM
        assert_given_back(terminal)
    assert any(isinstance(event, e.RunFinished) for event in events_of(directory)[-2:])


def poisoned(kind: str, *words: str) -> Forked:
    """The program with a planted fault, or with the pace at which a training leaves the processor to other tests."""
    return Forked((kind, *words), ROOT / "tests/e2e/poisoned_main.py")


@pytest.mark.slow
def test_a_loss_that_becomes_nan_raises_an_alert_that_a_key_acknowledges(folder: Path) -> None:
    command = poisoned("nan", "--config", "small.yaml", "--run", "one")
    with TerminalSession(command, folder, size=(120, 40)) as terminal:
        text = terminal.wait_for("ALERT", "acknowledge")
        assert "dice" in text
        terminal.wait_until(lambda _: state_of(folder / "runs/one").step > 25, "the training to go on")
        terminal.wait_until(lambda text: acknowledged(terminal, text), "the alerts to go")
        terminal.press("\x1b[17~")
        terminal.wait_for("[log]")
        terminal.press("\x03")
        terminal.wait_for("Stop the training?")
        terminal.press("\x03")
        assert terminal.wait() == 0
    assert events_of(folder / "runs/one", e.StepSkipped)


def acknowledged(terminal: TerminalSession, text: str) -> bool:
    """Return whether the screen shows no alert; acknowledge the one that it shows."""
    is_shown = "acknowledge" in text.replace("acknowledge: there is no alert to acknowledge", "")
    if is_shown:
        terminal.press("a")
    return not is_shown


@pytest.mark.slow
def test_a_refused_key_says_why(folder: Path) -> None:
    with TerminalSession(poisoned("pace", "--config", "small.yaml", "--run", "one"), folder) as terminal:
        running(terminal)
        terminal.press("u")
        terminal.wait_for("undo: refused")
        terminal.press("\x03")
        terminal.wait_for("Stop the training?")
        terminal.press("\x03")
        assert terminal.wait() == 0
    entries = [entry for entry in events_of(folder / "runs/one") if isinstance(entry, e.StopRequested)]
    assert len(entries) == 1


@pytest.mark.slow
def test_the_end_of_training_keeps_the_screen_until_q(folder: Path) -> None:
    words = ("--config", "small.yaml", "--run", "one", "--max-steps", "30")
    with TerminalSession(forked(*words), folder) as terminal:
        terminal.wait_for("q leaves", "finished")
        assert terminal.process.poll() is None
        terminal.press("q")
        assert terminal.wait() == 0
        assert "complete after" in terminal.text()
        assert_given_back(terminal)


@pytest.mark.slow
def test_what_is_steered_is_recorded_in_the_name_of_the_cockpit(folder: Path) -> None:
    with TerminalSession(poisoned("pace", "--config", "small.yaml", "--run", "one"), folder) as terminal:
        running(terminal)
        terminal.press("c")
        terminal.wait_for("checkpoint: applied")
        terminal.press("q")
        terminal.wait_for("Stop the training?")
        terminal.press("\r")
        assert terminal.wait() == 0
    with closing(JournalReader(folder / "runs/one")) as reader:
        saved = [x for x in reader.events() if isinstance(x.event, e.CheckpointSaved) and x.actor == "cockpit"]
    assert [entry.status for entry in saved] == [Status.APPLIED]
