"""The plan of a key that steers: the dialog to open, the command to send, or the reason why neither."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field

from cockpit.session.session import Session
from cockpit.ui.dialogs.dialog import Dialog
from engine.journal.reader import Entry
from engine.protocol.commands import Command
from engine.protocol.record import record
from engine.protocol.state import RunState


@record
class Situation:
    """The input of a plan. `argument` is that of the action, `now` the time in seconds since 1970.

    `undos` are undo commands without an outcome, `undone_by` the numbers of those with one. `passed` are the ids
    of entries that undo skips.
    """

    session: Session
    argument: str = ""
    undos: tuple[Command, ...] = ()
    undone_by: frozenset[int] = field(default_factory=frozenset[int])
    passed: frozenset[int] = field(default_factory=frozenset[int])
    now: float = 0.0

    @property
    def state(self) -> RunState:
        """Newest state. Raises AssertionError before the first."""
        assert self.session.state is not None
        return self.session.state


@record
class Send:
    """Send this command, after a confirmation if it is hard to undo."""

    command: Command


@record
class Open:
    """Open the dialog that `make` returns and send its answer. `asked`: the dialog itself is the confirmation."""

    make: Callable[[], Dialog]
    asked: bool = False
    undo: bool = False


@record
class Reason:
    """Show why nothing happens; the next undo skips `entry`."""

    text: str
    entry: Entry | None = None


Plan = Send | Open | Reason
