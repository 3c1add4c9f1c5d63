"""Report a run on the console, from its own thread: a live panel in a terminal, lines in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event as Signal
from threading import Thread
from typing import Final

from rich.console import Console
from rich.text import Text

from cockpit.console.charts import curves_text
from cockpit.console.reporting.live_panel import panel, progress_line
from cockpit.console.reporting.log_lines import LogLines, with_time
from cockpit.console.reporting.log_pace import LogPace
from cockpit.console.reporting.output import ReportOutput
from cockpit.console.reporting.past_entries import PastEntries
from cockpit.console.reporting.run_view import view_of
from cockpit.console.summary import read_outcome, summary_lines
from cockpit.session.session import Session
from cockpit.text.format import duration, escape_control
from engine.errors import UserError
from engine.journal.reader import Entry, JournalReader
from engine.protocol.state import RunState

MIN_SECONDS: Final = 0.25
"""Seconds between two looks at the journal, and so between two drawings of the panel."""

CPU_SHARE: Final = 0.01
"""Share of a core that the reporter may use: it competes with the training thread for the interpreter's lock."""

_SECONDS_TO_STOP: Final = 5.0


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
        self._output = ReportOutput(console)
        self._clock = clock
        self._live = self._output.can_redraw and not quiet
        self._started_at = clock()
        self._log = LogLines(quiet=quiet, timed=not self._output.can_redraw)
        self._pace = LogPace()
        self._past = PastEntries(run_dir)
        self._session = Session(run_dir, clock=clock, can_steer=False, awaits_start=is_resumed, recent_only=True)
        self._stopping = Signal()
        self._thread = Thread(target=self._work, name="console", daemon=True)

    def start(self) -> None:
        """Start the thread; the journal need not exist yet, and events of an earlier process are not shown."""
        self._past.remember()
        self._output.print(Text(f"{escape_control(str(self._run_dir))}: starting"))
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
            self._output.close()
            self._session.close()

    def tick(self) -> None:
        """Look once at the journal and show what is new."""
        entries = self._read()
        for line in self._log.of(entries, self._session.spec):
            self._output.print(line)
        state = self._session.state
        if state is not None and self._past.is_over(state, entries):
            self._show(state, entries)
        elif self._live:
            self._output.redraw(Text(f"starting, {duration(self._clock() - self._started_at)}"))

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
            self._output.redraw(panel(view, width=self._output.width - 1, ascii_only=self._output.ascii_only))
        elif not self._quiet and self._pace.is_due(state, entries, self._clock()):
            self._output.print(with_time(Text(progress_line(view_of(self._session, state))), time.time()))

    def _summarise(self) -> None:
        try:
            reader = JournalReader(self._run_dir)
        except UserError:
            return
        try:
            self._print_summary(reader)
        except UserError as error:
            self._output.print(Text(f"no summary: {error}"))
        finally:
            reader.close()

    def _print_summary(self, reader: JournalReader) -> None:
        outcome = read_outcome(reader, self._run_dir)
        if outcome is None:
            return
        for line in (Text(), *summary_lines(outcome)):
            self._output.print(line)
        if self._quiet:
            return
        self._output.print(Text())
        for row in curves_text(reader, outcome.entries, width=self._output.width, ascii_only=self._output.ascii_only):
            row.no_wrap = True
            self._output.print(row)
