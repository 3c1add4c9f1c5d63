"""What every dialog is: a box over the screen that answers with commands and stays true while it is open."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button, Input, Static

from cockpit.session.session import Session, SessionUpdate
from cockpit.text.command_text import changes_nothing, describe_outcome
from engine.protocol.commands import Command
from engine.protocol.decide import Outcome
from engine.protocol.events import Status

Answer = tuple[Command, ...]
"""The commands that a dialog was closed with; none when it was left."""

PASS, FAIL, CARE = "✓", "✗", "!"
"""Marks beside words, so that colour is never the only signal."""


class Dialog(ModalScreen[Answer]):
    """A box with a title, a body, and buttons; the keys work wherever the focus is."""

    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "leave", show=False)]
    DEFAULT_CSS = """
    Dialog {
        align: center middle;

        & > #box {
            width: 74;
            max-width: 96%;
            height: auto;
            max-height: 94%;
            padding: 0 1;
            border: round $primary;
            background: $surface;
            border-title-color: $text;
            border-subtitle-color: $text-muted;
        }
        &.danger > #box { border: heavy $error; }
        & .line { width: 100%; height: auto; }
        & .hint { width: 100%; height: auto; color: $text-muted; }
        & #buttons { width: 100%; height: 1; margin-top: 1; }
        & #buttons Button { margin-right: 2; }
        & Input { border: none; height: 1; padding: 0 1; background: $boost; }
        & Input:focus { border: none; background: $primary-muted; }
        & OptionList { border: none; padding: 0; background: $surface; height: auto; max-height: 12; }
        & OptionList:focus { border: none; }
    }
    """

    def __init__(self, session: Session, title: str, *, keys: str, danger: bool = False) -> None:
        super().__init__()
        self.session = session
        self._heading = Content(f"{CARE} {title}" if danger else title)
        self._keys = Content(keys)
        self.set_class(danger, "danger")

    def compose(self) -> ComposeResult:
        """The box: what the dialog says, and its buttons."""
        with VerticalScroll(id="box", can_focus=False) as box:
            box.border_title, box.border_subtitle = self._heading, self._keys
            yield from self.body()
            with Horizontal(id="buttons"):
                yield from self.buttons()

    def body(self) -> Iterable[Widget]:
        """What stands in the box."""
        return ()

    def buttons(self) -> Iterable[Button]:
        """The ways out for the mouse; the last one leaves."""
        return (button("Leave", "leave", "escape"),)

    def on_mount(self) -> None:
        """Say how things stand."""
        self.renew()

    def apply_update(self, session: Session, update: SessionUpdate) -> None:
        """What `update` brought may change what the dialog says."""
        if self.is_attached and self.is_mounted and (update.state or update.entries):
            self.renew()

    def renew(self) -> None:
        """Say how things stand now."""

    def say(self, place: str, text: Content | str) -> None:
        """Put `text` (never markup) where the dialog has that place; a place without text takes no line."""
        static = self.query_one(f"#{place}", Static)
        static.update(Content(text) if isinstance(text, str) else text)
        static.display = bool(text)

    def action_leave(self) -> None:
        """Close without a command."""
        self.dismiss(())

    async def on_button_pressed(self, event: Button.Pressed) -> None:
        """A click does what the key on the button does."""
        event.stop()
        await self.run_action(event.button.id or "leave")


def button(label: str, action: str, key: str, *, danger: bool = False) -> Button:
    """A flat button that does `action` and shows its key."""
    return Button(Content(f"{label} [{key}]"), id=action, variant="error" if danger else "default", compact=True)


def field(place: str, value: str = "") -> Input:
    """An input whose text is selected when it gets the focus; its cursor stands still, for nothing else changes."""
    made = Input(value, id=place, select_on_focus=True)
    made.cursor_blink = False
    return made


def line(place: str, *, hint: bool = False) -> Static:
    """A place for text in a dialog."""
    return Static("", id=place, classes="hint" if hint else "line", markup=False)


def is_open_to(outcome: Outcome) -> bool:
    """Whether a command with that outcome is worth sending: not refused, and it changes something."""
    return outcome.status is not Status.REFUSED and not changes_nothing(outcome)


def told(outcome: Outcome, *, brief: bool = False) -> Content:
    """An outcome in words behind its mark; `brief` leaves the word 'refused' to the mark."""
    if changes_nothing(outcome):
        return Content("= as it is now")
    match outcome.status:
        case Status.REFUSED:
            return Content.assemble((f"{FAIL} " if brief else f"{FAIL} refused: ", "$text-error"), outcome.reason)
        case Status.CLAMPED:
            return Content.assemble((f"{CARE} ", "$text-warning"), describe_outcome(outcome))
        case _:
            return Content.assemble((f"{PASS} ", "$text-success"), describe_outcome(outcome))
