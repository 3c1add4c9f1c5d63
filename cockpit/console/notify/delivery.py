"""Deliver messages to one address from a thread of its own, so that a dead one delays no other."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from threading import Condition, Thread
from typing import Any, Final
from urllib.parse import urlsplit

from cockpit.console.notify.messages import Notice, joined
from engine.protocol.record import record

MAX_WAITING: Final = 50
"""Messages that wait for an address; beyond it the oldest are only counted."""

_WEBHOOKS: Final = frozenset({"json", "jsons", "xml", "xmls", "form", "forms"})
"""Schemes whose host is a host; in other addresses a token may be in its place."""

_LAST_TRIES: Final = 2
"""Failures after the end of a run until an address is given up."""

Send = Callable[[Notice], bool]


@record
class Pace:
    """Seconds between two messages, after which further ones are joined, and after the first failure.

    The time after a failure doubles up to `longest`.
    """

    between: float = 10.0
    after_failure: float = 20.0
    longest: float = 300.0


def masked(url: str) -> str:
    """Return the address without its secrets: the scheme, and the host of a webhook."""
    scheme, separator, _ = url.strip().partition("://")
    if not separator or not scheme.isalnum():
        return "a text without a scheme"
    try:
        host = urlsplit(url.strip()).hostname or ""
    except ValueError:
        host = ""
    return f"{scheme}://{host}/..." if scheme.lower() in _WEBHOOKS and host else f"{scheme}://..."


def sender_to(url: str) -> Send | None:
    """Return the function that sends to `url` by apprise; `None` if apprise does not know such an address."""
    # Importing it and its 140 services takes a second: only the process of notifications does.
    from apprise import Apprise, AppriseAsset  # noqa: PLC0415 # pyright: ignore[reportMissingTypeStubs]

    logging.getLogger("apprise").disabled = True  # its records contain addresses
    service: Any = Apprise(asset=AppriseAsset(app_id="Training Cockpit", async_mode=False))
    if not service.add(url):
        return None
    return lambda notice: bool(service.notify(title=notice.title, body=notice.text, notify_type=notice.kind))


class Delivery:
    """Sends to one address. `on_failure` is called with the masked address at its first failure only."""

    def __init__(self, url: str, send: Send, on_failure: Callable[[str], None], pace: Pace | None = None) -> None:
        self._masked = masked(url)
        self._send = send
        self._on_failure = on_failure
        self._pace = Pace() if pace is None else pace
        self._waiting: deque[Notice] = deque()
        self._left_out = 0
        self._is_busy = self._has_failed = self._is_last = self._has_given_up = False
        self._changed = Condition()
        self._thread = Thread(target=self._work, name=f"notify {self._masked}", daemon=True)
        self._thread.start()

    def add(self, notice: Notice) -> None:
        """Put a message in line; returns immediately."""
        with self._changed:
            self._waiting.append(notice)
            self._bound()
            self._changed.notify_all()

    def finish(self, seconds: float) -> bool:
        """Send all that waits without delay; return whether it was sent within `seconds`.

        An address that fails is tried once more.
        """
        with self._changed:
            self._is_last = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not (self._waiting or self._is_busy) or self._has_given_up, seconds)
            return not (self._waiting or self._is_busy)

    def _bound(self) -> None:
        while len(self._waiting) > MAX_WAITING:
            self._waiting.popleft()
            self._left_out += 1

    def _work(self) -> None:
        failures = last_failures = 0
        while last_failures < _LAST_TRIES:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting))
                batch, left_out = tuple(self._waiting), self._left_out
                self._waiting.clear()
                self._left_out, self._is_busy = 0, True
            is_sent = self._deliver(joined(batch, left_out))
            failures = 0 if is_sent else failures + 1
            with self._changed:
                if not is_sent:
                    self._waiting.extendleft(reversed(batch))
                    self._left_out += left_out
                    self._bound()
                last_failures += not is_sent and self._is_last
                self._is_busy, self._has_given_up = False, last_failures == _LAST_TRIES
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._is_last, self._seconds_after(failures))

    def _seconds_after(self, failures: int) -> float:
        pace = self._pace
        return min(pace.after_failure * 2 ** (failures - 1), pace.longest) if failures else pace.between

    def _deliver(self, notice: Notice) -> bool:
        """Send one message. Any error of apprise is a failed delivery."""
        try:
            is_sent = self._send(notice)
        except Exception:
            is_sent = False
        if not is_sent and not self._has_failed:
            self._has_failed = True
            self._on_failure(self._masked)
        return is_sent
