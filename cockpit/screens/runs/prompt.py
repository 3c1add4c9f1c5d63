"""The dialog that asks for one text: a new name, a note, tags, or the name of a run that is to be deleted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from cockpit.text.format import escape_control


class TextPrompt(ModalScreen[str | None]):
    """A box with an explanation and an input; closes with the text, or with `None` if it was cancelled.

    `check` returns what is wrong with a text, an empty string for nothing.
    """

    AUTO_FOCUS = "Input"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+c", "cancel", "cancel", show=False),
        Binding("enter", "confirm", "confirm", show=False),
    ]
    DEFAULT_CSS = """
    TextPrompt {
        align: center middle;

        & > VerticalScroll {
            width: 74;
            max-width: 96%;
            height: auto;
            max-height: 94%;
            padding: 0 1;
            border: round $primary;
            background: $surface;
            border-subtitle-color: $text-muted;
        }
        &.danger > VerticalScroll { border: heavy $error; }
        & Static { width: 100%; height: auto; }
        & #wrong { color: $text-error; }
        & #buttons { width: 100%; height: 1; margin-top: 1; }
        & #buttons Button { margin-right: 2; }
        & Input { border: none; height: 1; padding: 0 1; background: $boost; }
        & Input:focus { border: none; background: $primary-muted; }
    }
    """

    def __init__(
        self,
        title: str,
        explain: Sequence[str],
        *,
        value: str = "",
        check: Callable[[str], str] = lambda text: "",
        danger: bool = False,
    ) -> None:
        super().__init__()
        self._heading = Content(f"! {title}" if danger else title)
        self._explain = explain
        self._value = value
        self._check = check
        self._is_dangerous = danger
        self.set_class(danger, "danger")

    def compose(self) -> ComposeResult:
        """Yield the box with its explanation, its input and its buttons."""
        with VerticalScroll(can_focus=False) as box:
            box.border_title, box.border_subtitle = self._heading, "enter confirms   escape cancels"
            for text in self._explain:
                yield Static(Content(escape_control(text)), markup=False)
            yield Input(self._value, select_on_focus=True)
            yield Static(id="wrong", markup=False)
            with Horizontal(id="buttons"):
                style = "error" if self._is_dangerous else "default"
                yield Button(Content("Confirm [enter]"), id="confirm", variant=style, compact=True)
                yield Button(Content("Cancel [escape]"), id="cancel", compact=True)

    def on_mount(self) -> None:
        """Keep the cursor from blinking."""
        self.query_one(Input).cursor_blink = False

    def on_input_changed(self, event: Input.Changed) -> None:
        """Forget what was wrong with the former text."""
        event.stop()
        self.query_one("#wrong", Static).update("")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Confirm on enter in the input."""
        event.stop()
        self.action_confirm()

    def action_confirm(self) -> None:
        """Close with the text, or show what is wrong with it."""
        text = self.query_one(Input).value.strip()
        if wrong := self._check(text):
            self.query_one("#wrong", Static).update(Content(f"✗ {escape_control(wrong)}"))
            self.query_one(Input).focus()
        else:
            self.dismiss(text)

    def action_cancel(self) -> None:
        """Close without a text."""
        self.dismiss(None)

    async def on_button_pressed(self, event: Button.Pressed) -> None:
        """Run the action of the clicked button, whose id is the action."""
        event.stop()
        await self.run_action(event.button.id or "cancel")
