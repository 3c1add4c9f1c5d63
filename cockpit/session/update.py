"""What one poll of a session changed."""

from __future__ import annotations

from typing import Final

from cockpit.session.incidents.incident import Incident
from cockpit.session.outbox import CommandOutcome
from engine.journal.reader import Entry
from engine.protocol.record import record


@record
class SessionUpdate:
    """The changes of one poll; falsy if there are none. `time`: pulse, heartbeat or notice have another text.

    `rewound`: a rollback or a resume opened a branch, and histories were cut. `began`: incidents that `entries` began.
    """

    state: bool = False
    steps: bool = False
    entries: tuple[Entry, ...] = ()
    answers: tuple[CommandOutcome, ...] = ()
    time: bool = False
    rewound: bool = False
    began: tuple[Incident, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.state or self.steps or self.entries or self.answers or self.time or self.rewound)


FULL_UPDATE: Final = SessionUpdate(state=True, steps=True, time=True, rewound=True)
"""For a panel that becomes visible again: everything may have changed."""
