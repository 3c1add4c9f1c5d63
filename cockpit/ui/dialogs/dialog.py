"""Base of all dialogs: a box over the screen that returns commands and is updated while it is open."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Button, Input, OptionList
from textual.widgets.option_list import Option

from cockpit.session.session import Session
from cockpit.session.update import SessionUpdate
from cockpit.terminal.textual_private import MeasuresAgain
from cockpit.text.command_text import changes_nothing, describe_outcome
from cockpit.ui.dialogs.box import CARE, FAIL, PASS, Box, button
from engine.protocol.commands import Command
from engine.protocol.decide import Outcome
from engine.protocol.events import Status

Answer = tuple[Command, ...]
"""The commands that a dialog was closed with; empty if it was cancelled."""


class Dialog(MeasuresAgain, Box[Answer]):
    """A box that is updated while it is open. Its keys work whichever widget has the focus."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "cancel", show=False)]

    def __init__(self, session: Session, title: str, *, keys: str, danger: bool = False) -> None:
        super().__init__(title, keys=keys, danger=danger)
        self.session = session

    def on_mount(self) -> None:
        """Show the texts of the newest state."""
        self.renew()

    def apply_update(self, session: Session, update: SessionUpdate) -> None:
        """Show the texts again if `update` has a new state or new events."""
        if self.is_attached and self.is_mounted and (update.state or update.entries):
            self.renew()

    def renew(self) -> None:
        """Show the texts of the newest state."""

    def close_with(self, command: Command) -> bool:
        """Close with `command`; return False and stay open if it would be refused."""
        if self.session.decide(command).status is Status.REFUSED:
            return False
        self.dismiss((command,))
        return True

    def action_cancel(self) -> None:
        """Close without a command."""
        self.dismiss(())


def is_open_to(outcome: Outcome) -> bool:
    """Return whether a command with that outcome is worth sending: not refused, and it changes something."""
    return outcome.status is not Status.REFUSED and not changes_nothing(outcome)


def told(outcome: Outcome, *, brief: bool = False) -> Content:
    """Return an outcome in words after its mark; `brief` omits the word 'refused'."""
    if changes_nothing(outcome):
        return Content("= as it is now")
    match outcome.status:
        case Status.REFUSED:
            return Content.assemble((f"{FAIL} " if brief else f"{FAIL} refused: ", "$text-error"), outcome.reason)
        case Status.CLAMPED:
            return Content.assemble((f"{CARE} ", "$text-warning"), describe_outcome(outcome))
        case _:
            return Content.assemble((f"{PASS} ", "$text-success"), describe_outcome(outcome))


class RowsDialog(Dialog):
    """A list of named rows with an input for the value of one of them.

    A subclass sets `_names` and `_at`, the row to begin with, and puts an `OptionList` and an `Input` into its body.
    """

    AUTO_FOCUS = "Input"
    _names: tuple[str, ...]
    _at: int
    _rows: tuple[str, ...] = ()

    def buttons(self) -> Iterable[Button]:
        """Return the Send and Cancel buttons."""
        return button("Send", "submit", "enter"), button("Cancel", "cancel", "escape")

    def on_mount(self) -> None:
        """Put the value of the first row into the input."""
        self.renew()
        self._show()

    def renew(self) -> None:
        """Show the rows of the newest state, and the outcome of what is typed."""
        rows = tuple(map(self._row, self._names))
        if rows != self._rows:
            self._rows = rows
            options = self.query_one(OptionList)
            with self.prevent(OptionList.OptionHighlighted):
                options.set_options(Option(Content(row)) for row in rows)
                options.highlighted = self._at
        self._judge()

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Put the value of the row that the cursor is on now into the input."""
        event.stop()
        if event.option_index != self._at:
            self._at = event.option_index
            self._show()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Go to the input on a click or enter on a row."""
        event.stop()
        self._at = event.option_index
        self._show()
        self.query_one(Input).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show the outcome of what is typed."""
        event.stop()
        self._judge()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Send on enter in the input."""
        event.stop()
        self.action_submit()

    def action_move(self, by: int) -> None:
        """Go to the row above or below."""
        self._at = (self._at + by) % len(self._names)
        with self.prevent(OptionList.OptionHighlighted):  # its message would come after keys that are typed meanwhile
            self.query_one(OptionList).highlighted = self._at
        self._show()

    def action_submit(self) -> None:
        """Close with the command for what is typed, if it can be sent."""
        raise NotImplementedError

    def _row(self, name: str) -> str:
        """Return the row of `name` as text."""
        raise NotImplementedError

    def _show(self) -> None:
        """Put the value of the row at `_at` into the input."""
        raise NotImplementedError

    def _judge(self) -> None:
        """Show the outcome of what is typed."""
        raise NotImplementedError
