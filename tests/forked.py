"""The program in a process of its own without the imports: they take longer than most tests of a whole process."""

from __future__ import annotations

import atexit
import fcntl
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tests import fork_server

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Forked:
    """A script or a module and its arguments, for a process forked from one that has imported the program's modules.

    Tests of the start, of imports and of the first frame need a new process instead.
    """

    words: Sequence[str]
    script: Path | str = ROOT / "main.py"
    ignored: Sequence[signal.Signals] = ()


class ForkedProcess:
    """A process of a fork server, with the methods of `subprocess.Popen` that tests need."""

    def __init__(
        self,
        forked: Forked,
        folder: Path,
        environment: Mapping[str, str],
        streams: tuple[int, int, int],
        *,
        has_terminal: bool = False,
    ) -> None:
        self.returncode: int | None = None
        self._told, told = os.pipe()
        self._unread = b""
        request = {
            "script": str(forked.script),
            "words": list(forked.words),
            "folder": str(folder),
            "environment": dict(environment),
            "ignored": list(forked.ignored),
            "has_terminal": has_terminal,
        }
        socket.send_fds(_server(), [json.dumps(request).encode()], [*streams, told])
        os.close(told)
        pid = self._number(60)
        assert pid is not None, "the fork server has ended"
        self.pid = pid

    def poll(self) -> int | None:
        """Return the exit code, or None while the process runs."""
        if self.returncode is None:
            self.returncode = self._number(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code. Raises TimeoutExpired after `timeout` seconds."""
        if self.returncode is None:
            self.returncode = self._number(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(["forked"], timeout or 0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _number(self, seconds: float | None) -> int | None:
        """Return the next number that the server tells, or None if there is none in time."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while b"\n" not in self._unread:
            left = None if deadline is None else max(deadline - time.monotonic(), 0)
            if not select.select([self._told], [], [], left)[0]:
                return None
            read = os.read(self._told, 100)
            assert read, "the fork server has ended"
            self._unread += read
        line, _, self._unread = self._unread.partition(b"\n")
        return int(line)

    def __enter__(self) -> ForkedProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.kill()
        self.wait(60)

    def __del__(self) -> None:
        os.close(self._told)


class CapturedProcess(ForkedProcess):
    """A process whose standard output and error are kept; it has no input."""

    def __init__(self, forked: Forked, folder: Path, environment: Mapping[str, str]) -> None:
        self._outputs = _unnamed_file(), _unnamed_file()
        nowhere = os.open(os.devnull, os.O_RDONLY)
        try:
            super().__init__(forked, folder, environment, (nowhere, *self._outputs))
        finally:
            os.close(nowhere)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for the end, and return the output and the errors."""
        self.wait(timeout)
        out, err = (os.pread(output, os.fstat(output).st_size, 0).decode() for output in self._outputs)
        return out, err

    def __del__(self) -> None:
        super().__del__()
        for output in self._outputs:
            os.close(output)


def _unnamed_file() -> int:
    descriptor, name = tempfile.mkstemp()
    os.unlink(name)
    return descriptor


@functools.cache
def _server() -> socket.socket:
    """Return a connection to the fork server of all workers of these tests. The first that needs it starts it.

    The server ends with its last connection.
    """
    name = f"\0fork-server-{os.environ.get('PYTEST_XDIST_TESTRUNUID', os.getpid())}"
    with open(fork_server.__file__, "rb") as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        ours = _connected(name)
        if ours is None:
            server = _started(name)
            ours = _connected(name)
            is_shared = "PYTEST_XDIST_WORKER" in os.environ  # other workers may still need it
            atexit.register(server.poll if is_shared else functools.partial(server.wait, 60))
    assert ours is not None, "the fork server does not start"
    atexit.register(ours.close)  # before the wait
    return ours


def _started(name: str) -> subprocess.Popen[bytes]:
    """Start a fork server that listens at the abstract socket `name`."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen()
        command = [sys.executable, "-m", "tests.fork_server", str(listener.fileno())]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        descriptors = [listener.fileno()]
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, pass_fds=descriptors, stdin=subprocess.DEVNULL, start_new_session=True
        )


def _connected(name: str) -> socket.socket | None:
    """Return a connection to the fork server at `name`, or None if there is none."""
    ours = socket.socket(socket.AF_UNIX)
    ours.settimeout(120)
    with suppress(ConnectionError):
        ours.connect(name)
        if ours.recv(10) == b"ready":
            return ours
    ours.close()
    return None
