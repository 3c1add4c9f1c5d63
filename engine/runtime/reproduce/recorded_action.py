"""What a run did once and is to do again: after a crash, or when it is driven again from its journal."""

from __future__ import annotations

from dataclasses import dataclass

from engine.protocol.events import Event


@dataclass(frozen=True, slots=True)
class RecordedAction:
    """Something that was done at the boundary before `step` and is to be done there again.

    `settled` says that the validation which that boundary owes comes first.
    """

    step: int
    actor: str
    event: Event
    reason: str = ""
    settled: bool = False
