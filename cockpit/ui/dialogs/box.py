"""The box of all dialogs, and the widgets in it. It imports nothing of the session, for the list of runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, TypeVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button, Input, Static

Result = TypeVar("Result")
"""The type that a box is closed with."""

PASS, FAIL, CARE = "✓", "✗", "!"
"""Marks before words, so that colour is never the only signal."""


class Box(ModalScreen[Result]):
    """A box over the screen with a title, a body and buttons."""

    AUTO_FOCUS = ""
    # With priority: a key of less comes back from the focused input after the next ones were typed into it.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "app.focus_next", "next field", show=False, priority=True),
        Binding("shift+tab", "app.focus_previous", "previous field", show=False, priority=True),
    ]
    DEFAULT_CSS = """
    Box {
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
        & #buttons { dock: bottom; width: 100%; height: 1; margin-top: 1; }
        & #buttons Button { margin-right: 2; }
        & Input { border: none; height: 1; padding: 0 1; background: $boost; }
        & Input:focus { border: none; background: $primary-muted; }
        & OptionList { border: none; padding: 0; background: $surface; height: auto; max-height: 12; }
        & OptionList:focus { border: none; }
    }
    """

    def __init__(self, title: str, *, keys: str, danger: bool = False) -> None:
        super().__init__()
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

    @property
    def room(self) -> int:
        """Return the columns of a line, as the style sets them, less those of a scroll bar."""
        return min(74, self.app.size.width * 96 // 100) - 6

    def say(self, place: str, text: Content | str) -> None:
        """Show `text` (never markup) in the line with the id `place`; an empty text takes no line."""
        static = self.query_one(f"#{place}", Static)
        static.update(Content(text) if isinstance(text, str) else text)
        static.display = bool(text)

    async def on_button_pressed(self, event: Button.Pressed) -> None:
        """Run the action of the clicked button, whose id is the action."""
        event.stop()
        await self.run_action(event.button.id or "cancel")


def button(label: str, action: str, key: str, *, danger: bool = False) -> Button:
    """Return a flat button that runs `action` and shows its key."""
    return Button(Content(f"{label} [{key}]"), id=action, variant="error" if danger else "default", compact=True)


class _JoiningInput(Input):
    """An input that joins pasted lines by blanks, of which Textual's own keeps the first only."""

    def on_paste(self, event: events.Paste) -> None:
        """Put what is pasted in the place of the selection."""
        event.prevent_default()
        event.stop()
        lines = (line.strip() for line in event.text.splitlines())
        self.replace(" ".join(line for line in lines if line), *self.selection)


def field(place: str, value: str = "") -> Input:
    """Return an input that selects its text when it gets the focus, with a cursor that does not blink."""
    made = _JoiningInput(value, id=place, select_on_focus=True)
    made.cursor_blink = False
    return made


def line(place: str, *, hint: bool = False) -> Static:
    """Return an empty line of text with the id `place`."""
    return Static("", id=place, classes="hint" if hint else "line", markup=False)
