"""Read the terminal's input and pass on what the parser makes of it: no input and no error ends the loop."""

from __future__ import annotations

import logging
import os
import select
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from threading import Event
from typing import Final

from textual.message import Message

from cockpit.terminal.drivers.input_parser import InputParser

_LOG: Final = logging.getLogger(__name__)

_TICK: Final = 0.05
"""Seconds between two checks of the end and of the parser's deadline."""


def read_input(fileno: int, ended: Event, take: Callable[[Message], None]) -> None:
    """Read keys and pass them to `take` until `ended` is set. Errors are logged, as no key works without this loop."""
    parser = InputParser()
    while not ended.is_set():
        data = _read(fileno)
        if data == b"":
            ended.wait(_TICK)
        with _faults_logged():
            _pass_on(parser.feed(data) if data else parser.tick(), take)


def _pass_on(messages: Iterable[Message], take: Callable[[Message], None]) -> None:
    for message in messages:
        with _faults_logged():
            take(message)


@contextmanager
def _faults_logged() -> Generator[None]:
    """Log an exception and continue with the next key."""
    try:
        yield
    except Exception:
        _LOG.exception("terminal input could not be handled")


def _read(fileno: int) -> bytes | None:
    """Return the input of one tick: `None` for none, empty bytes if the terminal is closed or in use elsewhere."""
    try:
        ready, _, _ = select.select([fileno], [], [], _TICK)
        return os.read(fileno, 4096) if ready else None
    except BlockingIOError:
        return None
    except OSError:
        return b""
