"""Connections from the processes of a program to the cockpit: one JSON object a line, in both directions."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

_DRAIN_SECONDS: Final = 10.0


class Connection:
    """One process of the program."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._lock = threading.Lock()

    def messages(self) -> Iterator[dict[str, Any]]:
        """Yield what the process says until it ends."""
        with suppress(OSError, ValueError), self._socket.makefile("r", encoding="utf-8") as lines:
            yield from map(json.loads, lines)

    def say(self, message: dict[str, Any]) -> None:
        """Send one message. A process that has ended is not an error."""
        with suppress(OSError), self._lock:
            self._socket.sendall((json.dumps(message) + "\n").encode())

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


class Listener:
    """Accepts processes at a Unix socket, and calls `serve` for each in a thread of its own."""

    def __init__(self, path: Path, serve: Callable[[Connection], None]) -> None:
        self.address = str(path)
        self._serve = serve
        self._threads: list[threading.Thread] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(self.address)
        path.chmod(0o600)
        self._socket.listen(64)
        threading.Thread(target=self._accept, name="cockpit-listener", daemon=True).start()

    def drain(self) -> None:
        """Wait until all that ended processes have said is read."""
        for thread in self._threads:
            thread.join(_DRAIN_SECONDS)

    def close(self) -> None:
        """Accept no further process."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connected, _ = self._socket.accept()
            except OSError:
                return
            connection = Connection(connected)
            thread = threading.Thread(target=self._serve_one, args=(connection,), name="cockpit-program", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve_one(self, connection: Connection) -> None:
        try:
            self._serve(connection)
        finally:
            connection.close()
