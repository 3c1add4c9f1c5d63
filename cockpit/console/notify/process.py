"""The process of notifications: follow a run's journal at low priority, and send what happens.

It gets its orders as lines of JSON on standard input: the addresses, then the run, then the end. It outlives the
program: if that is killed, this process finds the run abandoned, sends that, and ends.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

from cockpit.console.notify.delivery import Delivery, Pace, masked, sender_to
from cockpit.console.notify.messages import Notice, end_notice, notices_of
from cockpit.session.history.loader import RowLoader
from cockpit.session.session import Session
from cockpit.session.update import SessionUpdate
from engine.journal.disk.run_dir import CONSOLE_LOG
from engine.journal.tail import JournalTail
from engine.protocol import events as e

POLL_SECONDS: Final = 1.0

LAST_SECONDS: Final = 20.0
"""Seconds after the end of a run in which messages are delivered; then the process ends."""


class EventSession(Session):
    """A run without its metrics: only state and events are read."""

    def _new_loader(self) -> RowLoader:
        return _NoRows()


class _NoRows:
    """Reads no row."""

    behind = False
    failure = ""

    def look(self, tail: JournalTail) -> bool:
        """Return False, as no row was read that could be superseded."""
        return False

    def close(self) -> None:
        """Do nothing."""


def main() -> None:
    """Serve the program that started this process."""
    with suppress(OSError):
        os.nice(10)
    orders = Orders()
    urls: list[str] = orders.next().get("urls", [])
    senders = [sender_to(url) for url in urls]
    wrong = [masked(url) for url, send in zip(urls, senders, strict=True) if send is None]
    _reply({"wrong": wrong})
    order = {} if wrong else orders.next()
    if "run" in order:
        pairs = [(url, send) for url, send in zip(urls, senders, strict=True) if send is not None]
        serve(order, orders, lambda report: [Delivery(url, send, report, Pace()) for url, send in pairs])
    sys.stdout.flush()
    os._exit(0)  # a thread may still wait for a dead address


def serve(
    order: dict[str, Any], orders: Orders, deliveries_with: Callable[[Callable[[str], None]], list[Delivery]]
) -> None:
    """Follow the run that `order` names and deliver its messages; `deliveries_with` gets the reporter of failures."""
    run_dir = Path(order["run"])
    with closing(EventSession(run_dir, can_steer=False, awaits_start=order["is_resumed"], recent_only=True)) as session:
        _reply({"ready": True})
        deliveries = deliveries_with(lambda address: _log(run_dir, address))
        for notice in follow(session, order["since"], orders):
            for delivery in deliveries:
                delivery.add(notice)
        deadline = time.monotonic() + LAST_SECONDS
        for delivery in deliveries:
            delivery.finish(max(deadline - time.monotonic(), 0.0))


def follow(session: Session, since: float, orders: Orders) -> Iterator[Notice]:
    """Yield the messages about the run until its end is recorded or its process is gone."""
    has_news = is_told = is_last = False
    while not is_last:
        is_over = orders.is_over(POLL_SECONDS)
        gone = session.writer_has_left  # before the look, so that the last news are among it
        for update in _news(session):
            fresh = [entry for entry in update.entries if entry.time >= since]
            has_news = has_news or bool(fresh)
            is_told = is_told or any(isinstance(entry.event, e.RunFinished | e.RunFailed) for entry in fresh)
            yield from notices_of(update, session, since)
        is_last = is_over and (is_told or gone or not has_news)
    if has_news and not is_told and session.abandonment:
        yield end_notice(session)


def _news(session: Session) -> Iterator[SessionUpdate]:
    """Yield updates until one has no further event: a poll reads a bounded number of them."""
    update = session.poll()
    while update.entries:
        yield update
        update = session.poll()
    yield update


class Orders:
    """The lines on standard input; the end of the input, or of the parent process, is the order to end."""

    def __init__(self) -> None:
        self._parent = os.getppid()
        self._is_over = False

    def next(self) -> dict[str, Any]:
        """Return the next order, an empty one at the end."""
        line = sys.stdin.readline()
        found: dict[str, Any] = json.loads(line) if line.strip() else {}
        self._is_over = self._is_over or not found or "end" in found
        return found

    def is_over(self, seconds: float) -> bool:
        """Wait at most `seconds` for the order to end, and return whether it came."""
        if self._is_over:
            time.sleep(seconds)
        elif select.select([0], [], [], seconds)[0]:
            self.next()
        self._is_over = self._is_over or os.getppid() != self._parent
        return self._is_over


def _reply(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


def _log(run_dir: Path, address: str) -> None:
    """Write to the run's log that an address cannot be reached."""
    when = time.strftime("%Y-%m-%d %H:%M:%S")
    line = f"{when} WARNING cockpit.notify notifications to {address} cannot be delivered; the run is not affected\n"
    with suppress(OSError):
        log = os.open(run_dir / CONSOLE_LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(log, line.encode())
        finally:
            os.close(log)
