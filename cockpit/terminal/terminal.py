"""The terminal while a screen uses it: the program's own output goes to a log; the end restores it."""

from __future__ import annotations

import fcntl
import os
import select
import sys
import termios
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TextIO

from cockpit.terminal.guard import TerminalGuard
from cockpit.terminal.shell_job import ShellJob
from engine.journal.disk.open_files import identity_of

DUMB: Final = ("", "dumb", "unknown")

GIVE_BACK: Final = "".join(
    (
        "\x1b[?2026l",  # end of synchronized output
        "\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1016l",  # no mouse reports
        "\x1b[?2004l\x1b[?1004l\x1b[?2048l",  # no bracketed paste, focus or resize reports
        "\x1b[?7h\x1b[<u\x1b[0m",  # line wrap, default keyboard protocol, no colour
        "\x1b[?1049l\x1b[?25h",  # main screen buffer, visible cursor
    )
)
"""Sequences that end every mode of the screen, whatever the terminal's state."""


DRIVER_VARIABLE: Final = "TEXTUAL_DRIVER"
"""Environment variable in which Textual finds the class of its driver."""

BROWSER_DRIVER: Final = "cockpit.terminal.drivers.web_driver:BrowserDriver"


def is_in_browser() -> bool:
    """Return whether a server started this process to draw in a browser."""
    return os.environ.get(DRIVER_VARIABLE) == BROWSER_DRIVER


def why_no_screen() -> str:
    """Return why no screen can be opened; empty string if one can."""
    if not os.isatty(0) or not os.isatty(1):
        return f"standard {'input' if not os.isatty(0) else 'output'} is not a terminal"
    name = os.environ.get("TERM", "")
    return f"the terminal {name or 'without a name'} cannot move its cursor" if name.lower() in DUMB else ""


class Terminal:
    """Context in which descriptors 1 and 2 lead to the file `log` and `stream` leads to the terminal.

    Prints, native code and child processes write to 1 and 2 and cannot disturb the screen. The terminal is restored at
    the end of the process, also after SIGKILL. `job` is the tie to the shell, None for a process without one.
    """

    def __init__(self, log: Path, job: ShellJob | None = None) -> None:
        self._log = log
        self._job = job
        self.is_taken = False
        """Whether a screen has set modes on the terminal that it has not ended."""
        self._screen = 1
        self._watched = 1
        self._attributes: list[Any] = []
        self._saved: tuple[int, int] | None = None

    def __enter__(self) -> Terminal:
        self._attributes = _attributes_of(0)
        self._screen = _copy_of(1)
        self._watched = _copy_of(1)  # a failed write leads the screen's own descriptor to /dev/null
        self._guard = TerminalGuard(self._screen, GIVE_BACK.encode(), self._attributes)
        self.stream = open(self._screen, "w", encoding="utf-8", errors="replace", closefd=False)
        self._saved = _copy_of(1), _copy_of(2)
        self._lead_to_log()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def say(self, sentence: str) -> None:
        """Print a sentence on the terminal after its screen has closed; a closed terminal is ignored."""
        with suppress(OSError, ValueError):
            self.stream.write(f"{sentence}\n")
            self.stream.flush()

    def release(self) -> None:
        """Restore the terminal and descriptors 1 and 2; a second call has no effect."""
        saved, self._saved = self._saved, None
        if saved is None:
            return
        if self.is_taken:
            self.restore()
        _flush()
        for descriptor, copy in zip((1, 2), saved, strict=True):
            os.dup2(copy, descriptor)
            os.close(copy)
        self._guard.dismiss()

    def restore(self) -> None:
        """Restore the terminal immediately, for a process that ends; safe in a signal handler."""
        give_back(self._screen, self._attributes)

    def leave_to_log(self) -> None:
        """Let go of the terminal, which may be gone: 1 and 2 lead to the log for the rest of the process."""
        saved, self._saved = self._saved, None
        if self.is_taken:
            self.restore()  # the terminal may still exist: SIGHUP can be sent by hand
        for copy in saved or ():
            os.close(copy)
        self._guard.dismiss()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, self._screen):
            os.dup2(nowhere, descriptor, inheritable=descriptor == 0)
        os.close(nowhere)

    def keep_log(self) -> None:
        """Let 1 and 2 lead to the present log file, which is created again after it was deleted. Takes microseconds."""
        if self._saved is not None and identity_of(self._log) != identity_of(1):
            with suppress(OSError):  # its directory may not exist yet
                self._lead_to_log()

    def _lead_to_log(self) -> None:
        _flush()
        log = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)

    def is_gone(self) -> bool:
        """Return whether the terminal was closed, or the shell no longer waits for this process. Takes microseconds."""
        if self._job is not None and self._job.is_abandoned():
            return True
        poll = select.poll()
        poll.register(self._watched, 0)
        return any(seen & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, seen in poll.poll(0))

    def size(self) -> tuple[int, int]:
        """Return columns and lines; 80 x 24 if the terminal has no size."""
        try:
            columns, lines = os.get_terminal_size(self._screen)
        except OSError:
            return 80, 24
        return columns or 80, lines or 24

    def log_stream(self) -> TextIO:
        """Return a line-buffered text stream to the log."""
        return open(1, "w", encoding="utf-8", errors="replace", buffering=1, closefd=False)


def give_back(descriptor: int, attributes: list[Any]) -> None:
    """End every mode of a screen on the terminal behind `descriptor`; ignore a closed one."""
    with suppress(OSError, termios.error):
        os.write(descriptor, GIVE_BACK.encode())
        if attributes:
            termios.tcsetattr(descriptor, termios.TCSANOW, attributes)


def _attributes_of(descriptor: int) -> list[Any]:
    """Return the attributes of a terminal; empty list if it is closed."""
    try:
        return termios.tcgetattr(descriptor)
    except termios.error:
        return []


def _copy_of(descriptor: int) -> int:
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)


def _flush() -> None:
    for stream in filter(None, (sys.__stdout__, sys.__stderr__)):
        with suppress(OSError, ValueError):
            stream.flush()
