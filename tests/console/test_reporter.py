"""The reporter: a live panel on a terminal, a log elsewhere, and never a reason for a run to end."""

from __future__ import annotations

import io
import math
import os
import re
import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import cockpit.console.reporting.reporter
from cockpit.console.reporting.log_pace import PLAIN_SECONDS
from cockpit.console.reporting.reporter import ConsoleReporter
from cockpit.session.following.event_feed import EVENTS_PER_LOOK
from cockpit.session.session import Session
from cockpit.terminal.safe_stream import open_console
from engine.journal.store import JOURNAL_FILE
from engine.protocol import events as e
from engine.protocol.events import Activity, Status
from tests.console.scripted import FakeClock, ScriptedRun


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Unplugged(Terminal):
    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


@pytest.fixture(autouse=True)
def _closed_sessions(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:  # pyright: ignore[reportUnusedFunction]
    """Close the journals of reporters whose thread, which would do so, is never started."""
    with ExitStack() as opened:

        def session(*args: Any, **kwargs: Any) -> Session:
            return opened.enter_context(closing(Session(*args, **kwargs)))

        monkeypatch.setattr(cockpit.console.reporting.reporter, "Session", session)
        yield


@pytest.fixture
def target() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def reporter(run: ScriptedRun, clock: FakeClock, target: io.StringIO) -> ConsoleReporter:
    return ConsoleReporter(run.directory, console=open_console(target), clock=clock)


def said(target: io.StringIO) -> list[str]:
    """The lines of a log so far, without their times of day."""
    lines = [re.sub(r"^\d\d:\d\d:\d\d  ", "", line) for line in target.getvalue().splitlines()]
    target.seek(0)
    target.truncate()
    return lines


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "nothing happened for 30 s"
        time.sleep(0.01)


def test_each_line_of_a_log_begins_with_the_time_of_day(
    run: ScriptedRun, reporter: ConsoleReporter, target: io.StringIO, clock: FakeClock
) -> None:
    run.begin()
    reporter.tick()
    run.train(10)
    clock.advance(PLAIN_SECONDS)
    reporter.tick()
    lines = target.getvalue().splitlines()
    assert len(lines) == 2
    assert all(re.match(r"\d\d:\d\d:\d\d  step ", line) for line in lines)


def test_a_log_gets_the_start_the_events_and_a_line_every_ten_seconds(
    run: ScriptedRun, reporter: ConsoleReporter, target: io.StringIO, clock: FakeClock
) -> None:
    run.begin()
    reporter.tick()
    assert [line.split(":")[0] for line in said(target)] == ["step 0  training on cpu"]
    for step in range(1, 31):
        run.train(step)
        clock.advance(1.0)
        reporter.tick()

    lines = said(target)
    assert [line.split("/")[0] for line in lines] == ["step 10", "step 20", "step 30"]
    assert "1 steps/s" in lines[-1] and "ETA 16 min 10 s" in lines[-1]


def test_a_log_gets_a_line_at_the_end_of_each_epoch(
    run: ScriptedRun, reporter: ConsoleReporter, target: io.StringIO
) -> None:
    run.begin()
    reporter.tick()
    said(target)
    run.train(100)
    run.note(e.EpochCompleted(0, 5.0, 1.5))
    reporter.tick()

    epoch, progress = said(target)
    assert epoch == "step 100  epoch 1 done in 5 s, mean loss 1.5"
    assert progress.startswith("step 100/1000")


def test_a_log_stays_short_while_a_run_is_paused(
    run: ScriptedRun, reporter: ConsoleReporter, target: io.StringIO, clock: FakeClock
) -> None:
    run.begin()
    run.note(e.Paused("running"), status=Status.APPLIED, actor="cli:ann")
    reporter.tick()
    said(target)
    for _ in range(3600):
        clock.advance(1.0)
        reporter.tick()

    lines = said(target)
    assert 5 <= len(lines) <= 15
    assert all("paused, " in line for line in lines)


def test_quiet_prints_no_progress(run: ScriptedRun, clock: FakeClock, target: io.StringIO) -> None:
    reporter = ConsoleReporter(run.directory, quiet=True, console=open_console(target), clock=clock)
    run.begin()
    for step in range(1, 4):
        run.train(step)
        clock.advance(PLAIN_SECONDS)
        reporter.tick()
    run.validate(0.4)
    run.note(e.NoteAdded("not for the quiet"), status=Status.APPLIED, actor="cli:ann")
    run.note(e.AlertRaised("spike", "the loss jumped"))
    reporter.tick()

    assert [line.split("  ")[1].split()[0] for line in said(target)] == ["training", "validation:", "!"]


def test_foreign_text_is_neither_markup_nor_escapes(
    run: ScriptedRun, reporter: ConsoleReporter, target: io.StringIO
) -> None:
    run.begin()
    run.note(e.NoteAdded("[bold red]x[/] \x1b[2J :smiley:\nsecond"), status=Status.APPLIED, actor="[u]\x07")
    run.note(e.SampleRejected("weird[\x1b]0;title\x07.jpg", "truncated"))
    reporter.tick()

    text = "\n".join(said(target))
    assert "[u]\\x07: note: [bold red]x[/] \\x1b[2J :smiley:\\nsecond" in text
    assert "weird[\\x1b]0;title\\x07.jpg" in text
    assert "\x1b" not in text and "\x07" not in text


def test_a_journal_that_is_not_there_yet_is_waited_for(tmp_path: Path, clock: FakeClock, target: io.StringIO) -> None:
    reporter = ConsoleReporter(tmp_path / "runs" / "late", console=open_console(target), clock=clock)
    reporter.tick()
    assert said(target) == []
    run = ScriptedRun(tmp_path / "runs" / "late")
    run.begin()
    reporter.tick()
    run.close()

    assert said(target)[0].startswith("step 0  training on cpu")


def test_a_resumed_run_starts_with_its_own_events(run: ScriptedRun, clock: FakeClock, target: io.StringIO) -> None:
    run.begin()
    run.train(50)
    run.note(e.RunFinished("stopped", 5.0))
    reporter = ConsoleReporter(run.directory, console=open_console(target), clock=clock)
    reporter.start()
    run.observe(activity=Activity.STARTING)
    run.note(e.NoteAdded("second life"), status=Status.APPLIED, actor="cli:ann")
    reporter.stop(final=False)

    assert said(target)[1:] == ["step 50  cli:ann: note: second life"]


def test_the_state_of_an_earlier_process_is_not_shown(run: ScriptedRun, clock: FakeClock, target: io.StringIO) -> None:
    run.begin()
    run.train(50, loss=math.nan)
    run.note(e.RunFailed("boom"))
    reporter = ConsoleReporter(run.directory, console=open_console(target), clock=clock)
    reporter.start()
    reporter.stop(final=False)
    clock.advance(PLAIN_SECONDS)
    reporter.tick()
    clock.advance(PLAIN_SECONDS)
    reporter.tick()
    assert len(said(target)) == 1
    run.observe(activity=Activity.STARTING)
    reporter.tick()
    clock.advance(PLAIN_SECONDS)
    reporter.tick()
    assert [line.split(":")[0] for line in said(target)] == ["starting"]


def test_thousands_of_events_are_printed_in_one_look(
    run: ScriptedRun, reporter: ConsoleReporter, target: io.StringIO
) -> None:
    for number in range(2 * EVENTS_PER_LOOK + 10):
        run.journal.record_event(0, e.NoteAdded(str(number)), status=Status.APPLIED, actor="cli:ann")
    run.begin()
    reporter.tick()

    assert sum("note: " in line for line in said(target)) == 2 * EVENTS_PER_LOOK + 10


def test_alerts_are_numbered_over_all_processes_of_a_run(
    run: ScriptedRun, clock: FakeClock, target: io.StringIO
) -> None:
    run.begin()
    run.note(e.AlertRaised("dead module", "head has no gradient", module="head"))
    reporter = ConsoleReporter(run.directory, console=open_console(target), clock=clock)
    reporter.start()
    reporter.stop(final=False)
    run.note(e.AlertRaised("dead module", "body has no gradient", module="body"))
    reporter.tick()

    assert said(target)[1:] == ["step 0  ! alert 1 grows: dead module: body has no gradient"]


@pytest.mark.parametrize("lost", ["deleted", "emptied"])
def test_a_journal_that_its_writer_put_back_prints_nothing_twice(
    run: ScriptedRun, reporter: ConsoleReporter, target: io.StringIO, clock: FakeClock, lost: str
) -> None:
    run.begin()
    for number in range(5):
        run.note(e.NoteAdded(f"before {number}"), status=Status.APPLIED, actor="cli:ann")
    reporter.tick()
    assert sum("before" in line for line in said(target)) == 5
    journal = run.directory / JOURNAL_FILE
    if lost == "deleted":
        journal.unlink()
    else:
        os.truncate(journal, 0)
    run.note(e.NoteAdded("after"), status=Status.APPLIED, actor="cli:ann")
    for _ in range(3):
        clock.advance(2.0)
        reporter.tick()

    assert [line for line in said(target) if "note" in line] == ["step 0  cli:ann: note: after"]


def test_the_end_brings_the_summary_and_the_curves(run: ScriptedRun, target: io.StringIO) -> None:
    reporter = ConsoleReporter(run.directory, console=open_console(target, width=80))
    reporter.start()
    run.begin()
    for step in range(1, 20):
        run.train(step, loss=1 / step)
    run.note(e.RunFinished("complete", 5.0))
    run.close()
    reporter.stop()

    lines = said(target)
    assert lines[0] == f"{run.directory}: starting"
    assert "calm: complete after 5 s" in lines
    assert any(line.startswith("loss/total") for line in lines)
    assert any("⠁" <= character <= "⣿" for line in lines for character in line)


def test_a_quiet_end_has_no_curves_and_none_is_silent(run: ScriptedRun, target: io.StringIO) -> None:
    run.begin()
    for quiet, final, number in ((True, True, 1), (False, False, 0)):
        reporter = ConsoleReporter(run.directory, quiet=quiet, console=open_console(target))
        reporter.start()
        reporter.stop(final=final)
        lines = said(target)
        assert sum(line.startswith("calm: left while running") for line in lines) == number
        assert not any(line.startswith("loss/total") for line in lines)


def test_a_run_that_never_began_ends_without_a_summary(tmp_path: Path, target: io.StringIO) -> None:
    reporter = ConsoleReporter(tmp_path / "nothing", console=open_console(target))
    reporter.start()
    reporter.stop()

    assert said(target) == [f"{tmp_path / 'nothing'}: starting"]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return Terminal()


def test_a_terminal_shows_life_before_the_run_has_spoken(tmp_path: Path, terminal: Terminal, clock: FakeClock) -> None:
    reporter = ConsoleReporter(tmp_path / "late", console=open_console(terminal, width=80), clock=clock)
    clock.advance(6.0)
    reporter.tick()
    assert "starting, 6 s" in terminal.getvalue()
    reporter.start()
    reporter.stop(final=False)


def test_long_lines_break_between_words_on_a_terminal(run: ScriptedRun, terminal: Terminal) -> None:
    reporter = ConsoleReporter(run.directory, quiet=True, console=open_console(terminal, width=60))
    run.begin()
    run.note(e.AlertRaised("spike", "word " * 30))
    reporter.tick()

    lines = [line for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue()).splitlines() if "word" in line]
    assert len(lines) > 2
    assert all(len(line) <= 60 for line in lines)
    assert all(line.startswith("    word") for line in lines[1:])


def test_the_command_to_go_on_is_never_broken(run: ScriptedRun, terminal: Terminal) -> None:
    run.begin()
    run.note(e.CheckpointSaved("step-00000200.pt", "final", 1.0, 0.4, True))
    reporter = ConsoleReporter(run.directory, quiet=True, console=open_console(terminal, width=40))
    reporter.start()
    reporter.stop()

    assert f"python main.py --resume calm --runs-dir {run.directory.parent}" in terminal.getvalue()


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_terminal_gets_a_panel_that_is_redrawn(run: ScriptedRun, terminal: Terminal, width: int) -> None:
    reporter = ConsoleReporter(run.directory, console=open_console(terminal, width=width))
    reporter.start()
    run.begin()
    run.train(1)
    wait_until(lambda: "1/1000" in terminal.getvalue())
    run.train(2)
    run.note(e.NoteAdded("above the panel"), status=Status.APPLIED, actor="cli:ann")
    wait_until(lambda: "2/1000" in terminal.getvalue())
    reporter.stop(final=False)

    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    assert "phase 1 stable" in plain
    assert "cli:ann: note: above the panel" in plain
    assert all(len(line) <= width for line in re.split(r"[\r\n]", plain) if "starting" not in line)


def test_the_terminal_is_given_back_as_it_was(run: ScriptedRun, terminal: Terminal) -> None:
    stdout, stderr = sys.stdout, sys.stderr
    reporter = ConsoleReporter(run.directory, console=open_console(terminal, width=80))
    reporter.start()
    run.begin()
    wait_until(lambda: "0/1000" in terminal.getvalue())
    reporter.stop()

    assert (sys.stdout, sys.stderr) == (stdout, stderr)
    shown, hidden = terminal.getvalue().rfind("\x1b[?25h"), terminal.getvalue().rfind("\x1b[?25l")
    assert shown > hidden


def test_the_cursor_is_visible_while_the_panel_is(run: ScriptedRun, terminal: Terminal) -> None:
    reporter = ConsoleReporter(run.directory, console=open_console(terminal, width=80))
    run.begin()
    reporter.tick()

    assert terminal.getvalue().rfind("\x1b[?25h") > terminal.getvalue().rfind("\x1b[?25l")
    reporter.start()
    reporter.stop(final=False)


def test_a_dumb_terminal_gets_the_log(run: ScriptedRun, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    reporter = ConsoleReporter(run.directory, console=open_console(terminal))
    reporter.start()
    run.begin()
    reporter.stop()

    assert "training on cpu" in terminal.getvalue()
    assert "\x1b" not in terminal.getvalue()


def test_a_terminal_that_goes_away_ends_the_printing_and_nothing_else(run: ScriptedRun) -> None:
    reporter = ConsoleReporter(run.directory, console=open_console(Unplugged()))
    reporter.start()
    run.begin()
    run.train(1)
    reporter.stop()


def test_redrawing_takes_little_of_a_core(run: ScriptedRun, terminal: Terminal) -> None:
    run.begin()
    run.train(1)
    console: Console = open_console(terminal, width=120)
    reporter = ConsoleReporter(run.directory, console=console)
    costs: list[float] = []
    for step in range(2, 30):
        run.train(step)
        before = time.thread_time()
        reporter.tick()
        costs.append(time.thread_time() - before)
    reporter.start()
    reporter.stop(final=False)

    assert sorted(costs)[len(costs) // 2] < 0.02
