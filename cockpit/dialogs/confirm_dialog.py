"""Asking once more before something that is not easily taken back, with exactly what it does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Button

from cockpit.dialogs.dialog import Dialog, button, line, told
from cockpit.session.session import Session
from cockpit.text.command_text import title
from engine.protocol.commands import Command
from engine.protocol.events import Status
from engine.protocol.state import RunState


class ConfirmDialog(Dialog):
    """Says what `command` does, in the rule book's words and in those of `explain`; sends it by enter or y."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,y", "confirm", "confirm", show=False),
        Binding("n", "leave", "leave", show=False),
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
        super().__init__(session, what[:1].upper() + what[1:], keys="enter does it   escape leaves", danger=danger)
        self.command = command
        self._explain = explain
        self._danger = danger

    def body(self) -> Iterable[Widget]:
        """The effect, then what to know about it."""
        return line("effect"), line("explained")

    def buttons(self) -> Iterable[Button]:
        """Do it, or leave."""
        return button("Do it", "confirm", "enter", danger=self._danger), button("Leave", "leave", "escape")

    def renew(self) -> None:
        """The effect as it would be now."""
        outcome = self.session.decide(self.command)
        self.say("effect", told(outcome))
        state = self.session.state
        self.say("explained", "\n".join(self._explain(state)) if state else "")
        self.query_one("#confirm", Button).disabled = outcome.status is Status.REFUSED

    def action_confirm(self) -> None:
        """Close with the command, unless it would be refused by now: the reason stands in the box."""
        if self.session.decide(self.command).status is not Status.REFUSED:
            self.dismiss((self.command,))
