"""What every panel is, and the messages by which panels say what a person wants; none of them names the app."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.message import Message
from textual.widget import Widget

from engine.protocol.commands import Command

if TYPE_CHECKING:
    from cockpit.session.session import Session, SessionUpdate


class Panel(Widget):
    """A part of the screen that shows a session. `TITLE` names it on borders and tabs."""

    TITLE: ClassVar[str] = ""
    HELP: ClassVar[str | None] = None
    """What to know about the panel where its keys or signs do not say it."""

    def apply_update(self, session: Session, update: SessionUpdate) -> None:
        """Show what `update` brought: called on the UI thread while the panel is on screen, at most ten times a second.

        A panel that comes back on screen gets everything again, so that taking twice is taking once.
        """


class JumpTo(Message):
    """Move the charts' cursor to `step`."""

    def __init__(self, step: int) -> None:
        self.step = step
        super().__init__()


class Steer(Message):
    """Send `command` to the run."""

    def __init__(self, command: Command) -> None:
        self.command = command
        super().__init__()


class Ask(Message):
    """Do what the key of `action` does; `argument` says for what ('toggle' of a component's name)."""

    def __init__(self, action: str, argument: str = "") -> None:
        self.action = action
        self.argument = argument
        super().__init__()
