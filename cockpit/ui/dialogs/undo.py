"""Undo the last intervention of a person: find it, name it, and return the command that reverses it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from cockpit.text.event_info import Inverse
from cockpit.text.event_text import info_of, sentence
from cockpit.text.format import escape_control
from engine.journal.reader import Entry
from engine.protocol.commands import OWN_ACTORS, Command
from engine.protocol.events import Event, Status
from engine.protocol.record import record
from engine.protocol.task_spec import NO_SPEC


@record
class Undo:
    """An intervention and the command that reverses it; `caution` names the part that is not restored."""

    entry: Entry
    command: Command
    caution: str = ""


@record
class NoUndo:
    """Reason why nothing is reversed; `entry` is the intervention that prevents it, or `None`."""

    reason: str
    entry: Entry | None = None


def plan_undo(entries: Sequence[Entry], *, undone_by: Collection[int], passed: Collection[int] = ()) -> Undo | NoUndo:
    """Return the intervention that undo would reverse next.

    `entries` are all events, oldest first; `undone_by` the numbers of the commands that were undos: each has
    reversed one older intervention. Entries with an id in `passed` are skipped.
    """
    num_undone = 0
    for entry in reversed(entries):
        if not is_intervention(entry) or entry.id in passed:
            continue
        if entry.command_id in undone_by:
            num_undone += 1
        elif num_undone and not isinstance(_inverse(entry.event), str):
            num_undone -= 1
        elif not num_undone:
            return _undo_of(entry)
    return NoUndo("nothing is left to take back" if passed or undone_by else "no change by hand to take back yet")


def is_intervention(entry: Entry) -> bool:
    """Return whether `entry` is a change by a person: the outcome of a command that was not refused."""
    is_answer = entry.status in (Status.APPLIED, Status.CLAMPED) and entry.actor not in OWN_ACTORS
    return is_answer and info_of(entry.event).undo is not None and not _changed_nothing(entry.event)


def _changed_nothing(event: Event) -> bool:
    before = getattr(event, "before", None)
    return before is not None and before == getattr(event, "after", None)


def named(event: Event) -> str:
    """Return the command that `event` answered, in words: 'lower LR', 'weight of dice to 0.9'."""
    request = info_of(event).request
    return escape_control(request(event)) if request is not None else sentence(event, NO_SPEC)


def _undo_of(entry: Entry) -> Undo | NoUndo:
    found = _inverse(entry.event)
    return NoUndo(found, entry) if isinstance(found, str) else Undo(entry, found.command, found.caution)


def _inverse(event: Event) -> Inverse | str:
    """Return the command that reverses `event`, or the reason why there is none."""
    undo = info_of(event).undo
    assert undo is not None, "only an intervention is taken back"
    return undo(event)
