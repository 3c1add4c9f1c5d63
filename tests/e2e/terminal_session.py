"""The program on a real pseudo-terminal: what it draws is read through a terminal emulator, keys are typed."""

from __future__ import annotations

import copy
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import psutil
import pyte

from tests.forked import Forked, ForkedProcess

ROOT = Path(__file__).resolve().parents[2]


class _Emulator(pyte.Screen):
    """pyte with an alternate screen: what stood there before is put back when it is left."""

    def set_mode(self, *modes: int, **more: bool) -> None:
        super().set_mode(*modes, **more)
        if more.get("private") and 1049 in modes:
            self._kept = copy.deepcopy(self.buffer), copy.copy(self.cursor)
            self.erase_in_display(2)

    def reset_mode(self, *modes: int, **more: bool) -> None:
        super().reset_mode(*modes, **more)
        if more.get("private") and 1049 in modes and hasattr(self, "_kept"):
            self.buffer, cursor = self._kept
            del self._kept
            self.cursor.x, self.cursor.y = cursor.x, cursor.y


class TerminalSession:
    """`command` in a terminal of its own, `size` columns by lines, with `folder` as working directory."""

    def __init__(
        self,
        command: list[str] | Forked,
        folder: Path,
        *,
        size: tuple[int, int] = (80, 24),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        columns, lines = size
        self.master, self.slave = pty.openpty()
        self.resize(columns, lines)
        self.before = termios.tcgetattr(self.slave)
        self.raw = bytearray()
        self.arrivals: list[tuple[float, int]] = []
        self._parsed = 0
        self._text = ""
        self._emulator = _Emulator(columns, lines)
        self._stream = pyte.ByteStream(self._emulator)
        self._lock = threading.Lock()
        self.started = time.monotonic()
        homes = {"XDG_CONFIG_HOME": str(folder / "config"), "XDG_STATE_HOME": str(folder / "state")}
        self.process = self._start(command, folder, {**clean_environment(), **homes, **(environment or {})})
        self._woken, self._wake = os.pipe()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _start(
        self, command: list[str] | Forked, folder: Path, environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes] | ForkedProcess:
        streams = (self.slave, self.slave, self.slave)
        if isinstance(command, Forked):
            return ForkedProcess(command, folder, environment, streams, has_terminal=True)
        return subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            preexec_fn=self._take_terminal,  # noqa: PLW1509 - the reading thread starts afterwards
        )

    def _take_terminal(self) -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def resize(self, columns: int, lines: int) -> None:
        """Change the terminal's size; SIGWINCH notifies the program."""
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        if hasattr(self, "_lock"):
            with self._lock:
                self._parse()
                self._emulator.resize(lines, columns)
                self._text = ""
            os.killpg(self.process.pid, signal.SIGWINCH)

    def press(self, keys: str) -> None:
        """Type characters, or escape sequences of keys that have no character."""
        os.write(self.master, keys.encode())

    def wait_until_read(self) -> None:
        """Wait until the program has read all that was typed."""
        waiting = bytearray(4)
        while self.process.poll() is None:
            fcntl.ioctl(self.slave, termios.FIONREAD, waiting)
            if not any(waiting):
                return
            time.sleep(0.06)

    def text(self) -> str:
        """What the terminal shows."""
        with self._lock:
            if self._parsed < len(self.raw) or not self._text:
                self._parse()
                self._text = "\n".join(line.rstrip() for line in self._emulator.display)
            return self._text

    def written(self, since: int = 0) -> bytes:
        """Everything that was ever written to the terminal, or what came after the first `since` bytes."""
        with self._lock:
            return bytes(self.raw[since:])

    def arrival(self, offset: int) -> float:
        """When the byte at `offset` of what was written came, by `time.perf_counter`."""
        with self._lock:
            return next(at for at, end in reversed(self.arrivals) if end <= offset)

    def wait_for(self, *words: str, seconds: float = 60) -> str:
        """Wait until all `words` are on the screen; returns its text."""
        return self.wait_until(lambda text: all(word in text for word in words), f"{words} to appear", seconds)

    def wait_until(self, holds: Callable[[str], bool], what: str, seconds: float = 60) -> str:
        """Wait until the screen's text fulfils `holds`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            text = self.text()
            if holds(text):
                return text
            if self.process.poll() is not None and not self._reader.is_alive():
                break
            time.sleep(0.06)
        text = self.text()
        assert holds(text), f"waited for {what}; exit code {self.process.poll()}; the screen:\n{text}"
        return text

    def wait(self, seconds: float = 60) -> int:
        """Wait for the end; returns the exit code."""
        code = self.process.wait(seconds)
        os.set_blocking(self.slave, False)
        self._close_slave()
        self._reader.join(5)
        return code

    def trainer(self) -> psutil.Process:
        """Return the process that trains behind a screen: the child of the one that a shell would wait for.

        The other child leads the group of the first.
        """
        children = psutil.Process(self.process.pid).children()
        (child,) = (child for child in children if os.getpgid(child.pid) != child.pid)
        return child

    def hang_up(self) -> None:
        """Close the terminal, as a window that is closed does."""
        self._close_slave()
        self._stop_reading()  # a thread that waits for output would keep the terminal open
        master, self.master = self.master, -1
        os.close(master)

    def attributes(self) -> list[object]:
        """The terminal's attributes now; ask before `wait`."""
        return termios.tcgetattr(self.slave)

    def _close_slave(self) -> None:
        if self.slave >= 0:
            os.close(self.slave)
            self.slave = -1

    def _stop_reading(self) -> None:
        if self._reader.is_alive():
            os.write(self._wake, b".")
            self._reader.join(5)

    def _read(self) -> None:
        while True:
            try:
                if self._woken in select.select([self.master, self._woken], [], [])[0]:
                    return
                data = os.read(self.master, 65536)
            except OSError:
                return
            if not data:
                return
            with self._lock:
                self.arrivals.append((time.perf_counter(), len(self.raw)))
                self.raw += data

    def _parse(self) -> None:
        """Let the emulator read what has come. Only when its screen is asked for: it costs more than the program."""
        data = bytes(self.raw[self._parsed :])
        self._parsed = len(self.raw)
        self._stream.feed(data.replace(b"\x1b[<u", b"").replace(b"\x1b[>25u", b""))

    def __enter__(self) -> TerminalSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            children = psutil.Process(self.process.pid).children(recursive=True)
            self.process.kill()
            self.process.wait(10)
            for child in children:
                with suppress(psutil.NoSuchProcess):
                    child.kill()
        self._close_slave()
        self._reader.join(1)
        self._stop_reading()
        for descriptor in (self.master, self._wake, self._woken):
            if descriptor >= 0:
                os.close(descriptor)


def program(*words: str) -> list[str]:
    """The command that starts the program with these words, in a new process."""
    return [sys.executable, str(ROOT / "main.py"), *words]


def forked(*words: str) -> Forked:
    """The same program, forked from a process that has imported its modules."""
    return Forked(words)


def clean_environment() -> dict[str, str]:
    """The environment of a plain terminal."""
    unwanted = ("NO_COLOR", "TMUX", "COLUMNS", "LINES", "COLORTERM", "TEXTUAL")
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    return {**kept, "TERM": "xterm-256color", "OMP_NUM_THREADS": "1"}
