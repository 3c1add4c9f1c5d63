"""The newest events of a journal by kind, as the panels of safety and phases name them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from cockpit.ui.panels.toolkit.line_panel import since
from engine.journal.reader import Entry
from engine.protocol import events as e
from engine.protocol.commands import GUARDIAN

_DISK_KINDS: Final = ("journal", "tensorboard", "disk")


class NewestEvents:
    """The newest event of each kind, as a journal grows."""

    def __init__(self) -> None:
        self._last_id = 0
        self._found: dict[str, Entry] = {}

    def follow(self, entries: Sequence[Entry]) -> None:
        """Take in the entries that are new among all of a journal."""
        for entry in since(entries, self._last_id):
            self._last_id = entry.id
            self._found |= dict.fromkeys(_remembered_as(entry), entry)

    def get(self, name: str) -> Entry | None:
        """Return the newest event of a kind; `None` without one."""
        return self._found.get(name)


def _remembered_as(entry: Entry) -> tuple[str, ...]:
    """Return the names under which an event is kept as the newest of its kind."""
    match entry.event:
        case e.CheckpointSaved(good=good):
            return ("saved", "good") if good else ("saved",)
        case e.AlertRaised(kind=kind) if kind in _DISK_KINDS:
            return ("disk",)
        case e.CheckpointFailed():
            return ("disk",)
        case e.RolledBack():
            return ("rollback",) if entry.actor == GUARDIAN else ()
        case event:
            name = _KINDS.get(type(event))
            return (name,) if name else ()


_KINDS: Final[dict[type[Any], str]] = {  # the type of any event is a key
    e.StepSkipped: "skipped",
    e.SpikeDetected: "spike",
    e.FaultNamed: "fault",
    e.ValidationCompleted: "validation",
    e.AutopilotDecided: "decision",
}


def saved_at(entry: Entry) -> int:
    """Return the step in the checkpoint's name; the event may be a step or two later."""
    name = entry.event.path if isinstance(entry.event, e.CheckpointSaved) else ""
    digits = name.removesuffix(".pt").rpartition("-")[2]
    return int(digits) if digits.isascii() and digits.isdigit() else entry.step
