"""The base class of panels, and the messages by which they request actions; none refers to the app."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.message import Message
from textual.widget import Widget

from engine.protocol.commands import Command

if TYPE_CHECKING:
    from cockpit.session.session import Session
    from cockpit.session.update import SessionUpdate


class Panel(Widget):
    """A part of the screen that shows a session. `TITLE` names it on borders and tabs."""

    TITLE: ClassVar[str] = ""
    HELP: ClassVar[str | None] = None
    """Help about the panel beyond its keys and signs."""

    def apply_update(self, session: Session, update: SessionUpdate) -> None:
        """Show `update`. Called on the UI thread while the panel is visible, at most ten times a second.

        A panel that becomes visible again gets everything again, so an update may repeat.
        """


class JumpTo(Message):
    """Request to move the charts' cursor to `step`."""

    def __init__(self, step: int) -> None:
        self.step = step
        super().__init__()


class Steer(Message):
    """Request to send `command` to the run."""

    def __init__(self, command: Command) -> None:
        self.command = command
        super().__init__()


class Ask(Message):
    """Request to run `action`; `argument` is its object, such as a component's name for 'toggle'."""

    def __init__(self, action: str, argument: str = "") -> None:
        self.action = action
        self.argument = argument
        super().__init__()
