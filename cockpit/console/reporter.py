"""Report a run on the console, from its own thread: a live panel in a terminal, lines in a log."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from threading import Event as Signal
from threading import Thread
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from cockpit.console.charts import curves_text
from cockpit.console.live_panel import panel, progress_line
from cockpit.console.log_lines import LogLines, with_time
from cockpit.console.run_view import view_of
from cockpit.console.summary import read_outcome, summary_lines
from cockpit.session.session import Session
from cockpit.terminal.safe_stream import is_live, open_console
from cockpit.text.format import duration, escape_control
from engine.errors import UserError
from engine.journal.reader import Entry, JournalReader
from engine.protocol import events as e
from engine.protocol.state import RunState

MIN_SECONDS: Final = 0.25
"""Seconds between two looks at the journal, and so between two drawings of the panel."""

CPU_SHARE: Final = 0.01
"""Share of a core that the reporter may use: it competes with the training thread for the interpreter's lock."""

PLAIN_SECONDS: Final = 10.0
"""Seconds between two lines of progress in a log; while nothing changes, the time doubles from line to line."""

_SECONDS_TO_STOP: Final = 5.0
_INDENT: Final = "    "


class ConsoleReporter:
    """Shows the run in `run_dir` until `stop`; training never waits for it and never fails because of it.

    On a terminal it draws a live panel with the events scrolling above it, elsewhere plain lines. `quiet` prints only
    the start, alerts, validations and the end. With `is_resumed` the journal is not read until the run continues.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        quiet: bool = False,
        is_resumed: bool = False,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run_dir = run_dir
        self._quiet = quiet
        self._console = open_console() if console is None else console
        self._clock = clock
        self._live = is_live(self._console) and not quiet
        self._ascii_only = not self._console.encoding.startswith("utf")
        self._started_at = clock()
        self._log = LogLines(quiet=quiet, timed=not is_live(self._console))
        self._plain = _PlainPace()
        self._past = _Past(run_dir)
        self._session = Session(run_dir, clock=clock, can_steer=False, awaits_start=is_resumed, recent_only=True)
        self._display: Live | None = None
        self._stopping = Signal()
        self._thread = Thread(target=self._work, name="console", daemon=True)

    def start(self) -> None:
        """Start the thread; the journal need not exist yet, and events of an earlier process are not shown."""
        self._past.remember()
        self._print(Text(f"{escape_control(str(self._run_dir))}: starting"))
        self._thread.start()

    def stop(self, *, final: bool = True) -> None:
        """Show what is new and end the thread; with `final`, print the summary and, unless quiet, the curves."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_SECONDS_TO_STOP)
        if final and not self._thread.is_alive() and self._session.has_begun:
            self._summarise()

    def _work(self) -> None:
        try:
            seconds = MIN_SECONDS
            while not self._stopping.wait(seconds):
                before = time.thread_time()
                self.tick()
                seconds = max(MIN_SECONDS, (time.thread_time() - before) / CPU_SHARE)
            self.tick()
        finally:
            if self._display is not None:
                self._display.stop()
            self._session.close()

    def tick(self) -> None:
        """Look once at the journal and show what is new."""
        entries = self._read()
        for line in self._log.of(entries, self._session.spec):
            self._print(line)
        state = self._session.state
        if state is not None and self._past.is_over(state, entries):
            self._show(state, entries)
        elif self._live:
            self._redraw(Text(f"starting, {duration(self._clock() - self._started_at)}"))

    def _read(self) -> list[Entry]:
        """Return every entry that was written since the last look."""
        entries: list[Entry] = []
        while found := self._session.poll().entries:  # a look reads a bounded number of them
            fresh = self._past.fresh(found)
            if not entries:
                self._log.skip(found[: len(found) - len(fresh)])
            entries += fresh
        return entries

    def _show(self, state: RunState, entries: Sequence[Entry]) -> None:
        if self._live:
            view = view_of(self._session, state)
            self._redraw(panel(view, width=self._console.width - 1, ascii_only=self._ascii_only))
        elif not self._quiet and self._plain.is_due(state, entries, self._clock()):
            self._print(with_time(Text(progress_line(view_of(self._session, state))), time.time()))

    def _redraw(self, picture: Text) -> None:
        if self._display is None:
            self._display = Live(picture, console=self._console, auto_refresh=False, transient=True)
            self._display.start(refresh=True)
            # A second interrupt ends the process immediately: the cursor must be visible by then.
            self._console.show_cursor(True)
        else:
            self._display.update(picture, refresh=True)

    def _print(self, line: Text) -> None:
        """Print a line; a terminal breaks it between words and indents the rest, a log does not break it."""
        if line.no_wrap or not self._console.file.isatty():
            self._console.print(line, soft_wrap=True)
            return
        for number, piece in enumerate(line.wrap(self._console, max(self._console.width - len(_INDENT), 1))):
            self._console.print(Text(_INDENT if number else "").append_text(piece), soft_wrap=True)

    def _summarise(self) -> None:
        try:
            reader = JournalReader(self._run_dir)
        except UserError:
            return
        try:
            self._print_summary(reader)
        except UserError as error:
            self._print(Text(f"no summary: {error}"))
        finally:
            reader.close()

    def _print_summary(self, reader: JournalReader) -> None:
        outcome = read_outcome(reader, self._run_dir)
        if outcome is None:
            return
        self._print(Text())
        for line in summary_lines(outcome):
            self._print(line)
        if self._quiet:
            return
        self._print(Text())
        for row in curves_text(reader, outcome.entries, width=self._console.width, ascii_only=self._ascii_only):
            row.no_wrap = True
            self._print(row)


class _Past:
    """The part of the journal that is not shown: it was written before this process began, or was shown already."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._last_id = self._read_to = 0
        self._last_time = self._read_time = -math.inf
        self._state = ""

    def remember(self) -> None:
        """Note the last event and state of an earlier process, if there is a journal."""
        with suppress(UserError), closing(JournalReader(self._run_dir, at_rest=True)) as reader:
            self._last_id = reader.newest_ids().event
            self._state = repr(reader.state())

    def is_over(self, state: RunState, entries: Sequence[Entry]) -> bool:
        """Return whether this process has recorded an event or a state."""
        if self._state and (entries or repr(state) != self._state):
            self._state = ""
        return not self._state

    def fresh(self, found: Sequence[Entry]) -> Sequence[Entry]:
        """Return the entries that are neither past nor shown, out of those that were read next.

        A journal that was written again from memory gives events other numbers: then their times decide.
        """
        if found[0].id <= self._read_to:
            self._last_id, self._last_time = 0, self._read_time
        self._read_to, self._read_time = found[-1].id, found[-1].time
        return [entry for entry in found if entry.id > self._last_id and entry.time > self._last_time]


class _PlainPace:
    """Decides when a log gets a line of progress: every ten seconds, less often while nothing changes."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._shown = (-1, "")
        self._gap = PLAIN_SECONDS

    def is_due(self, state: RunState, entries: Sequence[Entry], now: float) -> bool:
        """Return whether to print the progress now."""
        where = (state.step, state.activity.value)
        ends_epoch = any(isinstance(entry.event, e.EpochCompleted) for entry in entries)
        if self._last is None:
            self._last = now
        if not ends_epoch and now - self._last < self._gap:
            return False
        self._gap = PLAIN_SECONDS if where != self._shown else min(2 * self._gap, 600.0)
        self._last, self._shown = now, where
        return True
