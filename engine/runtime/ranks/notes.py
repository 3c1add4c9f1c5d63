"""Notes that other ranks leave for rank 0: events in their part of the data, and the evidence of a non-finite step."""

from __future__ import annotations

import io
import json
from typing import Any, Final

import torch

from engine.forensics.capture import Evidence, to_payload
from engine.protocol.events import Event
from engine.protocol.wire import event_to_text, kind_of
from engine.runtime.ranks.group import RankGroup
from engine.runtime.ranks.shared_halver import Shortage

GONE: Final = "gone"
"""The kind of a note with the reason for which a rank cannot reach its data."""
SHORT: Final = "short of memory"
"""The kind of a note about memory that ran out in a rank's step."""
SIGNAL_KEY: Final = "signal"
"""The key of a note with the number of a signal that came while all ranks waited."""


def news_key(rank: int, number: int) -> str:
    """Return the key of the note `number` (from 0) of `rank`."""
    return f"news/{rank}/{number}"


def evidence_key(step: int, rank: int) -> str:
    """Return the key of the evidence of `rank` about the step with index `step`."""
    return f"evidence/{step}/{rank}"


def pack_evidence(evidence: Evidence) -> bytes:
    """Return the evidence as bytes."""
    buffer = io.BytesIO()
    torch.save(to_payload(evidence), buffer)
    return buffer.getvalue()


def unpack_evidence(packed: bytes) -> dict[str, Any]:
    """Return the payload of the evidence, on the CPU."""
    return torch.load(io.BytesIO(packed), map_location="cpu", weights_only=True)


class News:
    """What one rank has to say to rank 0, until it is sent."""

    def __init__(self, group: RankGroup) -> None:
        self._group = group
        self._items: list[tuple[str, str]] = []
        self._number = 0

    def add(self, event: Event) -> None:
        """Add an event for the journal."""
        self._items.append((kind_of(event), event_to_text(event)))

    def add_gone(self, reason: str) -> None:
        """Add why the data cannot be reached."""
        self._items.append((GONE, reason))

    def add_shortage(self, shortage: Shortage) -> None:
        """Add how memory ran out in a step."""
        self._items.append((SHORT, json.dumps([shortage.part, shortage.text, shortage.is_late])))

    def send(self) -> bool:
        """Leave a note with all items. Return whether there was one."""
        if not self._items:
            return False
        self._group.tell(news_key(self._group.rank, self._number), json.dumps(self._items).encode())
        self._items, self._number = [], self._number + 1
        return True
