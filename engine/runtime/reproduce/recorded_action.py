"""A recorded action to re-apply at its step, after a crash or in a reproduction."""

from __future__ import annotations

from engine.protocol.events import Event
from engine.protocol.record import record


@record
class RecordedAction:
    """An action at the boundary before `step`, to be repeated there.

    `settled` is whether the validation due at that boundary comes first.
    """

    step: int
    actor: str
    event: Event
    reason: str = ""
    settled: bool = False
