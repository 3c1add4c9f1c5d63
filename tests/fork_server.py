"""A program: import what the cockpit and the engine import, then fork a process for each request.

Argument: the descriptor of a listening Unix socket. A request is a JSON object and four descriptors: standard input,
output and error, and a pipe to which the process id and then the exit code are written. The server ends with its last
connection.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import importlib
import io
import json
import os
import runpy
import select
import signal
import socket
import sys
import termios
from pathlib import Path
from typing import Any, TextIO

PRELOADED = (
    "main",
    "tensorboard.compat.proto.event_pb2",
    "engine.runtime.train",
    "engine.runtime.reproduce.reproduce",
    "engine.adapters.programs.program",
    "engine.tasks.person.task",
    "engine.tasks.person.data.sources",
    "engine.tasks.person.data.checks.doubts",
    "engine.tasks.person.defaults",
    "engine.config.load",
    "engine.config.unusual",
    "engine.runtime.start.bootstrap",
    "engine.protocol.words.script",
    "cockpit.app.runner",
    "cockpit.app.controllers.controller",
    "cockpit.app.attached_app",
    "cockpit.console.reporting.reporter",
    "cockpit.cli.attached_runs",
    "cockpit.preferences.settings",
    "cockpit.terminal.drivers.driver",
    "cockpit.terminal.ascii_filter",
    "cockpit.ui.panels.preview.panel",
    "cockpit.ui.panels.records.config",
    "cockpit.ui.panels.records.events",
    "cockpit.ui.panels.records.log",
    "engine.tasks.person.losses.terms",
    "engine.tasks.person.model.network",
    "textual.drivers.linux_driver",
    "textual.layouts.factory",
    "textual.scrollbar",
    "scipy.ndimage",
)
"""Modules that import the others. None of them starts a thread or computes."""
INSIDE_TORCH = ("torch.profiler._cupti_monitor", "torch.utils.serialization.config")
"""Modules of torch that a training imports, in those of its releases that have them."""

_exit_codes: list[int] = []
"""The exit code of the process once its script has ended by itself."""


def serve(listener: socket.socket) -> dict[str, Any] | None:
    """Fork a process for each request. Returns the request in the process, and None in the server at the end."""
    running: dict[int, tuple[int, int]] = {}
    connections: dict[int, socket.socket] = {}
    while True:
        ready = select.select([listener, *connections, *running], [], [])[0]
        asking = [found for found in ready if found in connections]  # a new one may get the number of a closed one
        for descriptor in [found for found in ready if found in running]:
            os.close(descriptor)
            _tell_end(*running.pop(descriptor))
        if listener in ready:
            connection = listener.accept()[0]
            connections[connection.fileno()] = connection
            with contextlib.suppress(ConnectionError):
                connection.send(b"ready")
        for number in asking:
            data, descriptors = _received(connections[number])
            if data:
                process = os.fork()
                if process == 0:
                    _close_all(listener, *connections.values())
                    _close(*running, *(told for _, told in running.values()), descriptors[3])
                    request: dict[str, Any] = json.loads(data)
                    _become(request, descriptors[:3])
                    return request
                _tell(descriptors[3], process)
                running[os.pidfd_open(process)] = process, descriptors[3]
                _close(*descriptors[:3])
            else:
                connections.pop(number).close()
        if not connections:
            return None


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _close_all(*sockets: socket.socket) -> None:
    for one in sockets:
        one.close()


def _tell_end(process: int, told: int) -> None:
    """Tell the exit code of a process that has ended."""
    _tell(told, os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
    os.close(told)


def _received(connection: socket.socket) -> tuple[bytes, list[int]]:
    """Return a request and its descriptors, or nothing if the connection has ended."""
    try:
        data, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, 4)
    except ConnectionError:
        return b"", []
    return data, list(descriptors)


def _tell(told: int, number: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # the test no longer waits for that process
        os.write(told, b"%d\n" % number)


def _become(request: dict[str, Any], streams: list[int]) -> None:
    """Give the process what a new one has: its session, streams, folder, environment and signal handlers."""
    os.setsid()
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    if request["has_terminal"]:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in request["ignored"]:
        signal.signal(number, signal.SIG_IGN)
    sys.stdin = sys.__stdin__ = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), encoding="utf-8")
    sys.stdout = sys.__stdout__ = _stream(1, "strict")  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _stream(2, "backslashreplace")  # type: ignore[misc]


def _stream(descriptor: int, errors: str) -> TextIO:
    raw = io.FileIO(descriptor, "w", closefd=False)
    by_line = descriptor == 2 or raw.isatty()
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", errors=errors, line_buffering=by_line)


def _leave_modules() -> None:
    """End the process after all its exit handlers, without freeing thousands of modules one by one.

    That takes longer than most scripts. Python ends by itself after an exception or if its output cannot be written.
    """
    if _exit_codes:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(_exit_codes[0])


def _run(request: dict[str, Any]) -> None:
    """Run the requested script or module."""
    script: str = request["script"]
    sys.argv = [script, *request["words"]]
    try:
        if Path(script).is_file():
            sys.path[0] = str(Path(script).parent)
            runpy.run_path(script, run_name="__main__")
        else:
            runpy.run_module(script, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            _exit_codes.append((ended.code or 0) & 0xFF)
        raise
    _exit_codes.append(0)


def main() -> None:
    """Serve until the last connection closes; in each process, run the requested script."""
    atexit.register(_leave_modules)  # the first handler is called last
    listener = socket.socket(fileno=int(sys.argv[1]))
    listener.set_inheritable(False)
    for name in PRELOADED:
        importlib.import_module(name)
    for name in INSIDE_TORCH:
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()
    request = serve(listener)
    if request is not None:
        _run(request)


if __name__ == "__main__":
    main()
