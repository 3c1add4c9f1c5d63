"""The dialog for the knobs of a run: every knob with its value and its range, and an input for another value."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.actions import SkipAction
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, OptionList

from cockpit.session.session import Session
from cockpit.text.command_text import knob_range
from cockpit.text.format import escape_control
from cockpit.ui.dialogs.box import FAIL, field, line
from cockpit.ui.dialogs.dialog import RowsDialog, is_open_to, told
from cockpit.ui.panels.toolkit.line_parts import padded
from engine.protocol import commands as c
from engine.protocol.state import Knob, knob_text
from engine.protocol.words.command_syntax import knob_value

_NAME, _VALUE = 20, 14


class KnobDialog(RowsDialog):
    """Up and down choose the knob, also while a value is typed; left and right choose among the values of a switch.

    `name` is the knob to begin with.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "knob above", show=False, priority=True),
        Binding("down", "move(1)", "knob below", show=False, priority=True),
        Binding("left", "turn(-1)", "value before", show=False, priority=True),
        Binding("right", "turn(1)", "next value", show=False, priority=True),
        Binding("enter", "submit", "send", show=False),
    ]

    def __init__(self, session: Session, name: str = "") -> None:
        keys = "up/down knob   left/right choice   enter sends   escape cancels"
        super().__init__(session, "Knob", keys=keys)
        self._names = tuple(self._knobs)
        self._at = self._names.index(name) if name in self._names else 0

    def body(self) -> Iterable[Widget]:
        """Return the knobs, the input and a line for the outcome."""
        columns = line("columns", hint=True)
        columns.update(Content(f"{'knob':{_NAME}}{'value':{_VALUE}}takes"))
        return columns, OptionList(id="knobs", markup=False), field("value"), line("effect")

    def renew(self) -> None:
        """Show the knobs of the newest state, and the outcome of what is typed."""
        self._names = (*self._names, *(name for name in self._knobs if name not in self._names))
        super().renew()

    def action_turn(self, by: int) -> None:
        """Put the next value of a switch or a choice into the input. Raises SkipAction for a number: the key edits."""
        values = self._values()
        if not values:
            raise SkipAction
        typed = self.query_one(Input)
        at = values.index(typed.value) if typed.value in values else 0
        typed.value = values[(at + by) % len(values)]
        typed.action_select_all()

    def action_submit(self) -> None:
        """Close with the command, unless it is refused or changes nothing, as the box shows."""
        command = self._command()
        if command is not None and is_open_to(self.session.decide(command)):
            self.dismiss((command,))

    @property
    def _knobs(self) -> dict[str, Knob]:
        return dict(self.session.state.knobs) if self.session.state else {}

    def _command(self) -> c.SetKnob | None:
        """Return the command for what is typed; `None` if nothing is."""
        text = self.query_one(Input).value.strip()
        return c.SetKnob(self._names[self._at], knob_value(text)) if text else None

    def _judge(self) -> None:
        command = self._command()
        if self.query_one(Input).value == self._present():
            self.say("effect", "= as it is now")
        elif command is None:
            self.say("effect", Content.assemble((f"{FAIL} ", "$text-error"), "type a value"))
        else:
            self.say("effect", told(self.session.decide(command)))

    def _show(self) -> None:
        """Put the present value into the input; of a switch or a choice the next one, so that enter sends it."""
        now, values = self._present(), self._values()
        typed = self.query_one(Input)
        typed.value = values[(values.index(now) + 1) % len(values)] if now in values else now
        typed.action_select_all()
        self._judge()

    def _present(self) -> str:
        """Return the present value as the input shows it: a number in full."""
        value = self._knobs[self._names[self._at]].value
        return knob_text(value) if isinstance(value, bool) else str(value)

    def _values(self) -> tuple[str, ...]:
        """Return the texts of the values of a switch or a choice; empty for a number."""
        knob = self._knobs[self._names[self._at]]
        return ("on", "off") if isinstance(knob.value, bool) else knob.choices

    def _row(self, name: str) -> str:
        knob = self._knobs[name]
        value = padded(escape_control(knob_text(knob.value)), _VALUE - 1)
        return f"{padded(escape_control(name), _NAME - 1)} {value} {knob_range(knob)}"
