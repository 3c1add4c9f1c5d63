"""Read the state and the events of one journal, and what the journal says of the run apart from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from cockpit.session.following.state_decoder import StateDecoder
from cockpit.session.following.troubles import Troubles
from cockpit.session.run_summary import Origin, levels_of, origin_of
from engine.journal.reader import Entry
from engine.journal.sessions import WriterSession
from engine.journal.store import journal_file
from engine.journal.tail import JournalTail
from engine.journal.task_meta import TASK, spec_of
from engine.protocol.codec import WireError
from engine.protocol.events import RunStarted, TaskDescribed
from engine.protocol.record import record
from engine.protocol.state import RunState
from engine.protocol.task_spec import NO_SPEC, TaskSpec

EVENTS_PER_LOOK: Final = 1_000


@record
class EventLook:
    """What one look found: the new events, whether state and spec are new, and the newest session of a writer."""

    entries: tuple[Entry, ...]
    has_state: bool
    has_spec: bool
    session: WriterSession | None


class EventFeed:
    """Reads each event of the journal in `run_dir` once, and the newest state, spec, chance levels and origin.

    `behind`: the last look left events unread. A state that cannot be decoded is one of the `troubles`.
    """

    def __init__(self, run_dir: Path, troubles: Troubles) -> None:
        self.state: RunState | None = None
        self.spec: TaskSpec = NO_SPEC
        self.chance: Mapping[str, float] = {}
        self.origin = Origin()
        self.behind = False
        self._run_dir = run_dir
        self._troubles = troubles
        self._decoder = StateDecoder()
        self._knows_spec = False
        self._last_event = 0

    def look(self, tail: JournalTail) -> EventLook:
        """Read state and events in one snapshot, so that the effect of each event is in the state. Raises UserError."""
        with tail.snapshot():
            text = tail.state_text()
            events = tail.events(self._last_event, limit=EVENTS_PER_LOOK)
            spec = self._new_spec(tail, text, events.entries)
            session = tail.session()
            self.chance = self.chance or levels_of(tail.meta("chance_levels"))
            if any(isinstance(entry.event, RunStarted) for entry in events.entries):  # each start has a configuration
                self.origin = origin_of(tail, self._run_dir)
        if spec is not None:
            self.spec, self._knows_spec = spec, True
            self._decoder.describe(spec)
        has_state = self._take_state(text)
        self._last_event = events.last_id
        self.behind = events.num_read == EVENTS_PER_LOOK
        return EventLook(events.entries, has_state=has_state, has_spec=spec is not None, session=session)

    def _new_spec(self, tail: JournalTail, text: str | None, fresh: Sequence[Entry]) -> TaskSpec | None:
        """Return the spec of the task with the first state, and again after an event that replaced it; else `None`."""
        is_replaced = any(isinstance(entry.event, TaskDescribed) for entry in fresh)
        is_first = text is not None and not self._knows_spec
        return spec_of(tail.meta(TASK)) if is_replaced or is_first else None

    def _take_state(self, text: str | None) -> bool:
        try:
            state = None if text is None else self._decoder.decode(text)
        except WireError as error:
            detail = f"{journal_file(self._run_dir)} holds what this program does not know: {error}"
            self._troubles.add_plain("the journal holds what this program does not know", detail=detail)
            return False
        self.state = state or self.state
        return state is not None
