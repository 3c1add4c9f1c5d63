"""The dialog that asks for one text: a new name, a note, tags, or the name of a run that is to be deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button, Input, Static

from cockpit.text.format import escape_control
from cockpit.ui.dialogs.box import FAIL, Box, button, field, line


class TextPrompt(Box[str | None]):
    """A box with an explanation and an input; closes with the text, or with `None` if it was cancelled.

    `check` returns what is wrong with a text, an empty string for nothing.
    """

    AUTO_FOCUS = "Input"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+c", "cancel", "cancel", show=False),
        Binding("enter", "confirm", "confirm", show=False),
    ]
    DEFAULT_CSS = "TextPrompt #wrong { color: $text-error; }"

    def __init__(
        self,
        title: str,
        explain: Sequence[str],
        *,
        value: str = "",
        check: Callable[[str], str] = lambda text: "",
        danger: bool = False,
    ) -> None:
        super().__init__(title, keys="enter confirms   escape cancels", danger=danger)
        self._explain = explain
        self._value = value
        self._check = check
        self._is_dangerous = danger

    def body(self) -> Iterable[Widget]:
        """Return the explanation, the input, and the line for what is wrong with the text."""
        for text in self._explain:
            yield Static(Content(escape_control(text)), classes="line", markup=False)
        yield field("text", self._value)
        yield line("wrong")

    def buttons(self) -> Iterable[Button]:
        """Return the buttons that confirm and cancel."""
        return button("Confirm", "confirm", "enter", danger=self._is_dangerous), button("Cancel", "cancel", "escape")

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
            self.query_one("#wrong", Static).update(Content(f"{FAIL} {escape_control(wrong)}"))
            self.query_one(Input).focus()
        else:
            self.dismiss(text)

    def action_cancel(self) -> None:
        """Close without a text."""
        self.dismiss(None)
