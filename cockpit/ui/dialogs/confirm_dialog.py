"""The dialog that asks for confirmation of a command that is hard to undo, with its predicted effect."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Button

from cockpit.session.session import Session
from cockpit.text.command_text import title
from cockpit.ui.dialogs.box import button, line
from cockpit.ui.dialogs.dialog import Dialog, told
from engine.protocol.commands import Command
from engine.protocol.events import Status
from engine.protocol.state import RunState


class ConfirmDialog(Dialog):
    """Shows the predicted effect of `command` and the lines of `explain`; enter or y confirms it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,y", "confirm", "confirm", show=False),
        Binding("n", "cancel", "cancel", show=False),
    ]

    def __init__(
        self,
        session: Session,
        command: Command,
        explain: Callable[[RunState], Sequence[str]],
        *,
        heading: str = "",
        danger: bool = True,
    ) -> None:
        what = heading or title(command)
        super().__init__(session, what[:1].upper() + what[1:], keys="enter confirms   escape cancels", danger=danger)
        self.command = command
        self._explain = explain
        self._danger = danger

    def body(self) -> Iterable[Widget]:
        """Return a line for the effect and one for the explanation."""
        return line("effect"), line("explained")

    def buttons(self) -> Iterable[Button]:
        """Return the Confirm and Cancel buttons."""
        return button("Confirm", "confirm", "enter", danger=self._danger), button("Cancel", "cancel", "escape")

    def renew(self) -> None:
        """Show the effect on the newest state."""
        outcome = self.session.decide(self.command)
        self.say("effect", told(outcome))
        state = self.session.state
        self.say("explained", "\n".join(self._explain(state)) if state else "")
        self.query_one("#confirm", Button).disabled = outcome.status is Status.REFUSED

    def action_confirm(self) -> None:
        """Close with the command, unless it is refused by now: the box shows the reason."""
        self.close_with(self.command)
