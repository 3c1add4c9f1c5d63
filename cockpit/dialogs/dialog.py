"""Base of all dialogs: a box over the screen that returns commands and is updated while it is open."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button, Input, OptionList, Static
from textual.widgets.option_list import Option

from cockpit.session.session import Session, SessionUpdate
from cockpit.terminal.textual_private import MeasuresAgain
from cockpit.text.command_text import changes_nothing, describe_outcome
from engine.protocol.commands import Command
from engine.protocol.decide import Outcome
from engine.protocol.events import Status

Answer = tuple[Command, ...]
"""The commands that a dialog was closed with; empty if it was cancelled."""

PASS, FAIL, CARE = "✓", "✗", "!"
"""Marks before words, so that colour is never the only signal."""


class Dialog(MeasuresAgain, ModalScreen[Answer]):
    """A box with a title, a body and buttons. Its keys work whichever widget has the focus."""

    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "cancel", show=False)]
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
        """Return the box with the body and the buttons."""
        with VerticalScroll(id="box", can_focus=False) as box:
            box.border_title, box.border_subtitle = self._heading, self._keys
            yield from self.body()
            with Horizontal(id="buttons"):
                yield from self.buttons()

    def body(self) -> Iterable[Widget]:
        """Return the widgets above the buttons."""
        return ()

    def buttons(self) -> Iterable[Button]:
        """Return the buttons, the one that cancels last."""
        return (button("Cancel", "cancel", "escape"),)

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

    def say(self, place: str, text: Content | str) -> None:
        """Show `text` (never markup) in the line with the id `place`; an empty text takes no line."""
        static = self.query_one(f"#{place}", Static)
        static.update(Content(text) if isinstance(text, str) else text)
        static.display = bool(text)

    def action_cancel(self) -> None:
        """Close without a command."""
        self.dismiss(())

    async def on_button_pressed(self, event: Button.Pressed) -> None:
        """Run the action of the clicked button, whose id is the action."""
        event.stop()
        await self.run_action(event.button.id or "cancel")


def button(label: str, action: str, key: str, *, danger: bool = False) -> Button:
    """Return a flat button that runs `action` and shows its key."""
    return Button(Content(f"{label} [{key}]"), id=action, variant="error" if danger else "default", compact=True)


def field(place: str, value: str = "") -> Input:
    """Return an input that selects its text when it gets the focus, with a cursor that does not blink."""
    made = Input(value, id=place, select_on_focus=True)
    made.cursor_blink = False
    return made


def line(place: str, *, hint: bool = False) -> Static:
    """Return an empty line of text with the id `place`."""
    return Static("", id=place, classes="hint" if hint else "line", markup=False)


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
        self.query_one(OptionList).highlighted = (self._at + by) % len(self._names)

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
