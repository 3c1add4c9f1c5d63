"""Throttle of updates: changed numbers are batched, events are passed on immediately."""

from __future__ import annotations

import time
from collections.abc import Callable

from cockpit.session.update import SessionUpdate


class UpdateThrottle:
    """Merges updates and returns them every `seconds`, or immediately after an event."""

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._given_at = -seconds
        self._held = SessionUpdate()

    @property
    def holds(self) -> bool:
        """Return whether an update is held."""
        return bool(self._held)

    def update(self, update: SessionUpdate, *, at_once: bool = False) -> SessionUpdate:
        """Return the merged update if it is due, else an empty one."""
        self._held = together(self._held, update)
        now = self._clock()
        if not self._held or not (at_once or has_happened(update) or now - self._given_at >= self._seconds):
            return SessionUpdate()
        held, self._held, self._given_at = self._held, SessionUpdate(), now
        return held


def has_happened(update: SessionUpdate) -> bool:
    """Return whether an update has events, answers or a rewind, not only new numbers."""
    return bool(update.entries or update.answers or update.rewound)


def together(one: SessionUpdate, other: SessionUpdate) -> SessionUpdate:
    """Return two updates merged into one."""
    return SessionUpdate(
        state=one.state or other.state,
        steps=one.steps or other.steps,
        entries=(*one.entries, *other.entries),
        answers=(*one.answers, *other.answers),
        time=one.time or other.time,
        rewound=one.rewound or other.rewound,
    )
