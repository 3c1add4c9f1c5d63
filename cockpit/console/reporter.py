"""The console reporter: follows a run's journal from a thread of its own and shows it in a terminal or a log."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from threading import Event as Signal
from threading import Thread
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from cockpit.console.follower import Follower, FollowerUpdate
from cockpit.console.live_panel import panel, progress_line
from cockpit.console.log_lines import LogLines, with_time
from cockpit.console.summary import curves_text, read_outcome, summary_lines
from cockpit.terminal.safe_stream import is_live, open_console
from cockpit.text.format import duration, escape_control
from engine.errors import UserError
from engine.journal.disk.run_dir import StartWatch
from engine.journal.reader import JournalReader
from engine.protocol import events as e

MIN_SECONDS: Final = 0.25
"""The screen is redrawn at most four times a second."""

CPU_SHARE: Final = 0.01
"""What the reporter may take of a core: it holds the interpreter's lock beside the training thread."""

PLAIN_SECONDS: Final = 10.0
"""How often a log gets a line of progress; while nothing moves the gap doubles from line to line."""

_SECONDS_TO_STOP: Final = 5.0
_INDENT: Final = "    "


class ConsoleReporter:
    """Shows the run in `run_dir` until `stop`; training never waits for it and never fails by it.

    On a terminal: a live panel with the events scrolling above it. Elsewhere: plain lines. `quiet`: the start, alerts,
    validations and the end. With `is_resumed` the journal is left alone until the run is taken up again.
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
        self._start = StartWatch(run_dir) if is_resumed else None
        self._quiet = quiet
        self._console = open_console() if console is None else console
        self._clock = clock
        self._live = is_live(self._console) and not quiet
        self._ascii_only = not self._console.encoding.startswith("utf")
        self._started_at = clock()
        self._log = LogLines(quiet=quiet, timed=not is_live(self._console))
        self._plain = _PlainPace()
        self._past = _Past(run_dir)
        self._follower: Follower | None = None
        self._display: Live | None = None
        self._stopping = Signal()
        self._thread = Thread(target=self._work, name="console", daemon=True)

    def start(self) -> None:
        """Begin to follow, before the run's journal exists if need be; what a former process left is not shown."""
        self._past.remember()
        self._print(Text(f"{escape_control(str(self._run_dir))}: starting"))
        self._thread.start()

    def stop(self, *, final: bool = True) -> None:
        """Show what is left and end the thread; with `final` the summary and, unless quiet, the curves follow."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_SECONDS_TO_STOP)
        if final and not self._thread.is_alive() and self._has_begun():
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
            if self._follower is not None:
                self._follower.close()

    def tick(self) -> None:
        """Look once at the journal and show what is new."""
        try:
            update = self._look()
        except UserError:
            update = None  # no journal yet, or a disk that does not answer now: the next look may find more
        if update is not None:
            self._show(update)
        elif self._live:
            self._redraw(Text(f"starting, {duration(self._clock() - self._started_at)}"))

    def _look(self) -> FollowerUpdate | None:
        if not self._has_begun():
            return None
        if self._follower is None:
            self._follower = self._past.follow(self._clock)
        return self._follower.look()

    def _has_begun(self) -> bool:
        return self._start is None or self._start.has_begun()

    def _show(self, update: FollowerUpdate) -> None:
        for line in self._log.of(update.entries, update.view.state.spec):
            self._print(line)
        if self._live:
            self._redraw(panel(update.view, width=self._console.width - 1, ascii_only=self._ascii_only))
        elif not self._quiet and self._plain.is_due(update, self._clock()):
            self._print(with_time(Text(progress_line(update.view)), time.time()))

    def _redraw(self, picture: Text) -> None:
        if self._display is None:
            self._display = Live(picture, console=self._console, auto_refresh=False, transient=True)
            self._display.start(refresh=True)
            # A second interrupt ends the process at once: the cursor must be there already.
            self._console.show_cursor(True)
        else:
            self._display.update(picture, refresh=True)

    def _print(self, line: Text) -> None:
        """Print a line: on a terminal broken between words, what follows indented; in a log whole."""
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
        for row in ["", *curves_text(reader, outcome, width=self._console.width, ascii_only=self._ascii_only)]:
            self._print(Text(row, no_wrap=True))


class _Past:
    """What the journal held before this process began to write: not to be shown as if it happened now."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._last_event = 0
        self._state = ""

    def remember(self) -> None:
        """Note where a former process left the journal, if there is one."""
        with suppress(UserError), closing(JournalReader(self._run_dir, at_rest=True)) as reader:
            self._last_event = reader.newest_ids().event
            self._state = repr(reader.state())

    def follow(self, clock: Callable[[], float]) -> Follower:
        """A follower that starts where the past ends. Raises UserError while there is no journal."""
        return Follower(self._run_dir, clock=clock, after_event=self._last_event, stale=self._state)


class _PlainPace:
    """When a log gets a line: every ten seconds while the run moves, ever more rarely while it stands."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._shown = (-1, "")
        self._gap = PLAIN_SECONDS

    def is_due(self, update: FollowerUpdate, now: float) -> bool:
        """Whether to print the progress now."""
        state = update.view.state
        where = (state.step, state.activity.value)
        ends_epoch = any(isinstance(entry.event, e.EpochCompleted) for entry in update.entries)
        if self._last is None:
            self._last = now
        if not ends_epoch and now - self._last < self._gap:
            return False
        self._gap = PLAIN_SECONDS if where != self._shown else min(2 * self._gap, 600.0)
        self._last, self._shown = now, where
        return True
