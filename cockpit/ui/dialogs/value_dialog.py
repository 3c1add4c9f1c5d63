"""The dialog for typed values: it shows the predicted outcome of each, and enter sends those that change something."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button, Input

from cockpit.session.session import Session
from cockpit.ui.dialogs.box import FAIL, button, field, line
from cockpit.ui.dialogs.dialog import Dialog, is_open_to, told
from engine.errors import UserError
from engine.protocol.commands import Command
from engine.protocol.decide import refused
from engine.protocol.events import Status
from engine.protocol.record import record


@record
class Field:
    """One value: its label, its current text, and `read`, which turns a text into the command or raises UserError."""

    label: str
    value: str
    read: Callable[[str], Command]


class ValueDialog(Dialog):
    """One input for each field, below the text of `explain`."""

    AUTO_FOCUS = "Input"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "submit", "send", show=False)]

    def __init__(self, session: Session, title: str, fields: Sequence[Field], *, explain: str = "") -> None:
        moves = "tab next field   " if len(fields) > 1 else ""
        super().__init__(session, title, keys=f"{moves}enter sends   escape cancels")
        self._fields = tuple(fields)
        self._explain = explain

    def body(self) -> Iterable[Widget]:
        """Return the explanation, then label, input and outcome of every field."""
        if self._explain:
            explained = line("explained", hint=True)
            explained.update(Content(self._explain))
            yield explained
        for index, value in enumerate(self._fields):
            label = line(f"label{index}")
            label.update(Content(value.label))
            yield label
            yield field(f"value{index}", value.value)
            yield line(f"verdict{index}")
        yield line("complaint")

    def buttons(self) -> Iterable[Button]:
        """Return the Send and Cancel buttons."""
        return button("Send", "submit", "enter"), button("Cancel", "cancel", "escape")

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show the outcome of what is typed."""
        event.stop()
        self.renew()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Send on enter in an input."""
        event.stop()
        self.action_submit()

    def renew(self) -> None:
        """Show the outcome of every value; a field that was and is empty has none."""
        for index, value in enumerate(self._fields):
            is_untouched = not value.value and not self._typed(index)
            self.say(f"verdict{index}", "" if is_untouched else self._judged(index))
        self.say("complaint", "")

    def action_submit(self) -> None:
        """Send every value that changes something; one that cannot be sent keeps the box open."""
        answer: list[Command] = []
        for index in range(len(self._fields)):
            command = self._command(index)
            outcome = refused(command) if isinstance(command, str) else self.session.decide(command)
            if isinstance(command, str) or outcome.status is Status.REFUSED:
                self.say(f"verdict{index}", self._judged(index))
                self.query_one(f"#value{index}", Input).focus()
                return
            if is_open_to(outcome):
                answer.append(command)
        if answer:
            self.dismiss(tuple(answer))
        else:
            self.say("complaint", f"{FAIL} nothing is changed: type another value")

    def _command(self, index: int) -> Command | str:
        """Return the command of field `index`, or why its text is none."""
        try:
            return self._fields[index].read(self._typed(index))
        except UserError as error:
            return str(error)

    def _typed(self, index: int) -> str:
        return self.query_one(f"#value{index}", Input).value

    def _judged(self, index: int) -> Content:
        command = self._command(index)
        if isinstance(command, str):
            return Content.assemble((f"{FAIL} ", "$text-error"), command)
        return told(self.session.decide(command))


def real(text: str) -> float:
    """Return the number in `text`. Raises UserError."""
    try:
        return float(text)
    except ValueError:
        raise UserError(f"{text.strip()!r} is not a number" if text.strip() else "type a number") from None


def whole_number(text: str) -> int:
    """Return the whole number in `text`. Raises UserError."""
    try:
        return int(text)
    except ValueError:
        raise UserError(f"{text.strip()!r} is not a whole number" if text.strip() else "type a whole number") from None
