"""The requests of users and signals that wait for the next step boundary."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from engine.protocol import commands as c
from engine.protocol.commands import Request
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.recorder import RunRecorder


class Mailbox(Protocol):
    """Source of the commands that other processes send to a run."""

    def poll(self) -> Sequence[Request]:
        """Return the commands since the last call, oldest first."""
        ...

    def stale(self) -> Sequence[Request]:
        """Return unanswered commands of former sessions."""
        ...


class RequestQueue:
    """Collect the requests of users and signals until the next step boundary."""

    def __init__(self, inbox: Mailbox, recorder: RunRecorder, interrupt: Interrupt):
        self.interrupt = interrupt
        self._inbox = inbox
        self._recorder = recorder
        self._waiting: deque[Request] = deque()

    def poll(self) -> bool:
        """Fetch new requests. Return whether one is waiting."""
        self._waiting.extend(self._inbox.poll())
        return bool(self._waiting)

    def pop(self) -> Request | None:
        """Remove and return the oldest request, or `None`."""
        return self._waiting.popleft() if self._waiting else None

    def stale(self) -> Sequence[Request]:
        """Return the requests that a dead process left unanswered."""
        return self._inbox.stale()

    def stop_is_waiting(self) -> bool:
        """Return whether a stop is pending. Cheap enough between the batches of a validation."""
        self._recorder.watch_losses()
        self.poll()
        return self.interrupt.is_set() or any(isinstance(request.command, c.Stop) for request in self._waiting)
