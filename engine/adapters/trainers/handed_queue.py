"""Commands that wait until a trainer has carried them out."""

from __future__ import annotations

from engine.adapters.run.attached_run import AttachedRun
from engine.protocol.events import Event
from engine.runtime.commands.command_processor import HandedOver


class HandedQueue:
    """Checkpoints and validations that the trainer will do by itself: `waiting`. True if there is one."""

    def __init__(self) -> None:
        self.waiting: list[HandedOver] = []

    def __bool__(self) -> bool:
        """Return whether the trainer has yet to do something."""
        return bool(self.waiting)

    def add(self, handed: HandedOver) -> None:
        """Note that the trainer will carry out `handed`."""
        self.waiting.append(handed)

    def take(self, kind: type[Event]) -> list[HandedOver]:
        """Remove and return the commands of this kind: the trainer has carried them out."""
        taken = [handed for handed in self.waiting if isinstance(handed.event, kind)]
        self.waiting = [handed for handed in self.waiting if not isinstance(handed.event, kind)]
        return taken

    def decline(self, run: AttachedRun, kind: type[Event], reason: str) -> None:
        """Refuse the commands of this kind: the trainer could not carry them out."""
        for handed in self.take(kind):
            run.decline(handed, reason)

    def decline_all(self, run: AttachedRun, reason: str) -> None:
        """Refuse all commands that were not carried out."""
        waiting, self.waiting = [*self.waiting, *run.handed_over], []
        run.handed_over.clear()
        for handed in waiting:
            run.decline(handed, reason)
