"""News kept back for a moment: what only drifts is shown at the pace of a reader, what happens is shown at once."""

from __future__ import annotations

import time
from collections.abc import Callable

from cockpit.session.session import SessionUpdate


class UpdateThrottle:
    """Gives out what it was given every `seconds`, all of it together; at once where something has happened."""

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._given_at = -seconds
        self._held = SessionUpdate()

    @property
    def holds(self) -> bool:
        """Something was given and not given out."""
        return bool(self._held)

    def update(self, update: SessionUpdate, *, at_once: bool = False) -> SessionUpdate:
        """What is due now, `update` included; falsy where nothing is."""
        self._held = together(self._held, update)
        now = self._clock()
        if not self._held or not (at_once or has_happened(update) or now - self._given_at >= self._seconds):
            return SessionUpdate()
        held, self._held, self._given_at = self._held, SessionUpdate(), now
        return held


def has_happened(update: SessionUpdate) -> bool:
    """Whether something happened, rather than only went on."""
    return bool(update.entries or update.answers or update.rewound)


def together(one: SessionUpdate, other: SessionUpdate) -> SessionUpdate:
    """Two pieces of update as one."""
    return SessionUpdate(
        state=one.state or other.state,
        steps=one.steps or other.steps,
        entries=(*one.entries, *other.entries),
        answers=(*one.answers, *other.answers),
        time=one.time or other.time,
        rewound=one.rewound or other.rewound,
    )
