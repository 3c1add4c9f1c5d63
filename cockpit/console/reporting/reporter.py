"""Report a run on the console, from its own thread: a live panel in a terminal, lines in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event as Signal
from threading import Thread
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from cockpit.console.charts import curves_text
from cockpit.console.reporting.live_panel import panel, progress_line
from cockpit.console.reporting.log_lines import LogLines, with_time
from cockpit.console.reporting.log_pace import LogPace
from cockpit.console.reporting.past_entries import PastEntries
from cockpit.console.reporting.run_view import view_of
from cockpit.console.summary import read_outcome, summary_lines
from cockpit.session.session import Session
from cockpit.terminal.safe_stream import is_live, open_console
from cockpit.text.format import duration, escape_control
from engine.errors import UserError
from engine.journal.reader import Entry, JournalReader
from engine.protocol.state import RunState

MIN_SECONDS: Final = 0.25
"""Seconds between two looks at the journal, and so between two drawings of the panel."""

CPU_SHARE: Final = 0.01
"""Share of a core that the reporter may use: it competes with the training thread for the interpreter's lock."""

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
        self._pace = LogPace()
        self._past = PastEntries(run_dir)
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
        elif not self._quiet and self._pace.is_due(state, entries, self._clock()):
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
        for line in (Text(), *summary_lines(outcome)):
            self._print(line)
        if self._quiet:
            return
        self._print(Text())
        for row in curves_text(reader, outcome.entries, width=self._console.width, ascii_only=self._ascii_only):
            row.no_wrap = True
            self._print(row)
