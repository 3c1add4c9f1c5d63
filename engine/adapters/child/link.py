"""The connection of a program to the cockpit's process: one JSON object a line, in both directions."""

from __future__ import annotations

import json
import math
import socket
import threading
from collections import deque
from contextlib import suppress
from typing import Any, Final

from ...protocol.codec import to_json
from ..hooks.gradients.gradient_norms import part_norms
from ..hooks.layers.measured_layers import MeasuredLayers

_SEND_SECONDS: Final = 0.1
"""Seconds between two messages with rows: one for each step would cost the training more."""
_MOST_ROWS: Final = 100_000
"""Rows that wait for a cockpit that does not read; later ones are dropped."""


GONE: Final = "gone"
"""The activity of a training that all its processes are to leave alone, after a fault of the cockpit in one."""


class Link:
    """Sends rows from a thread of its own. `is_asked` is set while the cockpit wants the training to hold.

    `hold_at` is the step after which all processes of the training hold, 0 for none. Raises OSError if the cockpit does
    not listen.
    """

    def __init__(self, address: str, hello: dict[str, Any]) -> None:
        self.is_asked = False
        self.is_lost = False
        self.hold_at = 0
        self._held = threading.Event()
        self._rows: deque[dict[str, Any]] = deque(maxlen=_MOST_ROWS)
        self._lock = threading.Lock()
        self._answer: dict[str, Any] | None = None
        self._answered = threading.Event()
        self._closing = threading.Event()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(address)
        self._lines = self._socket.makefile("r", encoding="utf-8")
        self._reader = threading.Thread(target=self._read, name="cockpit-reader", daemon=True)
        self._sender = threading.Thread(target=self._send, name="cockpit-sender", daemon=True)
        self._reader.start()
        self.say({"hello": hello})
        control = self._await_answer()
        if control is None:
            raise ConnectionError("the cockpit has ended")
        self.control = control
        self._sender.start()

    def add(self, row: dict[str, Any]) -> None:
        """Queue the row of a step."""
        self._rows.append(row)

    def hold_next(self, step: int) -> None:
        """Let all processes hold after `step`, which none has ended. Waits until they have heard of it."""
        self._held.clear()
        self.hold_at = step
        self.say({"hold": step})
        while not (self.is_lost or self._held.wait(0.2)):
            pass

    def at_boundary(self, step: int) -> dict[str, Any] | None:
        """Say that the training holds after `step`, and return what is in force now; `None` without a cockpit."""
        self.is_asked = False
        if step >= self.hold_at:
            self.hold_at = 0
        self._answered.clear()
        self._flush()
        self.say({"at": step})
        control = self._await_answer()
        self.is_asked = False
        return control

    def _await_answer(self) -> dict[str, Any] | None:
        while not self.is_lost:
            if self._answered.wait(0.2):
                return self._answer
        return None

    def say(self, message: dict[str, Any]) -> None:
        """Send one message. A cockpit that is gone is not an error."""
        try:
            with self._lock:
                self._socket.sendall((json.dumps(message) + "\n").encode())
        except OSError:
            self.is_lost = True

    def close(self) -> None:
        """Send the rest and close the connection."""
        self._closing.set()
        self._sender.join(2)
        self._flush()
        self.say({"bye": True})
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.join(2)
        self._lines.close()
        self._socket.close()

    def _send(self) -> None:
        while not (self._closing.wait(_SEND_SECONDS) or self.is_lost):
            self._flush()

    def _flush(self) -> None:
        rows: list[dict[str, Any]] = []
        with suppress(IndexError):  # the other thread may take the last one
            while self._rows:
                rows.append(_plain(self._rows.popleft()))
        if rows:
            self.say({"rows": rows})

    def _read(self) -> None:
        with suppress(OSError, ValueError):
            for line in self._lines:
                self._hear(json.loads(line))
        self.is_lost = not self._closing.is_set()

    def _hear(self, message: dict[str, Any]) -> None:
        if "attend" in message:
            self.is_asked = True
        if "hold" in message:
            self.hold_at = message["hold"]
            self.say({"holding": self.hold_at})
        if "held" in message:
            self._held.set()
        if "go" in message:
            self._answer = message["go"]
            self._answered.set()


def ask(address: str, message: dict[str, Any]) -> dict[str, Any]:
    """Return the cockpit's answer to one message, over a connection of its own. Raises OSError or ValueError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connected:
        connected.connect(address)
        connected.sendall((json.dumps(message) + "\n").encode())
        return json.loads(connected.makefile("r", encoding="utf-8").readline())


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of numbers. Those still on their way from a device have arrived by now, or are waited for here."""
    parts = part_norms(row["norms"])
    loss, finite = row["loss"], row["finite"]
    is_counted = not (row["bad"] or row["is_loss_bad"] or row["scaler"] is not None)
    return {
        **row,
        "norms": parts,
        "grad_norm": math.hypot(*parts.values()),
        "loss": loss if isinstance(loss, list) or loss is None else loss.tolist(),
        "finite": None if finite is None else bool(finite[0]),
        "bad": list(row["bad"]),
        "histograms": [to_json(one.resolve(row["step"])) for one in row["histograms"]],
        "layers": _plain_layers(row["layers"], counted=is_counted and (finite is None or bool(finite[0]))),
    }


def _plain_layers(layers: MeasuredLayers | None, *, counted: bool) -> dict[str, Any] | None:
    """Return the numbers of layers with their names, `None` without any."""
    if layers is None:
        return None
    measured = layers.resolve(counted=counted)
    names = measured.names
    named = {"parameters": names.parameters, "sizes": names.sizes, "modules": names.modules}
    return {**named, "values": measured.values.tolist(), "every": layers.every}
