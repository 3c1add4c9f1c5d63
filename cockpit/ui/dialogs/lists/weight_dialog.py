"""The dialog for the weight of a loss term: every term with its weight, raw loss and chance level, and an input."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, OptionList

from cockpit.session.session import Session
from cockpit.text.format import number
from cockpit.ui.dialogs.box import FAIL, field, line
from cockpit.ui.dialogs.dialog import RowsDialog, is_open_to, told
from cockpit.ui.dialogs.value_dialog import real
from cockpit.ui.panels.toolkit.line_parts import padded
from engine.errors import UserError
from engine.protocol import commands as c

_LEAST_NAME, _MOST_NAME = 16, 36


class WeightDialog(RowsDialog):
    """Up and down choose the term, also while a value is typed. `term` is the term to begin with."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "term above", show=False, priority=True),
        Binding("down", "move(1)", "term below", show=False, priority=True),
        Binding("enter", "submit", "send", show=False),
    ]

    def __init__(self, session: Session, term: str = "") -> None:
        super().__init__(session, "Weight of a loss term", keys="up/down term   enter sends   escape cancels")
        self._names = session.spec.term_names
        self._at = self._names.index(term) if term in self._names else 0
        self._width = min(max([_LEAST_NAME, *map(len, self._names)]), _MOST_NAME)

    def body(self) -> Iterable[Widget]:
        """Return the terms, the input and a line for the outcome."""
        columns = line("columns", hint=True)
        columns.update(Content(f"{'term':{self._width}}{'weight':>9}{'raw loss':>11}{'chance':>9}"))
        return columns, OptionList(id="terms", markup=False), field("value"), line("effect")

    def action_submit(self) -> None:
        """Close with the command, unless it is refused or changes nothing, as the box shows."""
        command = self._command()
        if isinstance(command, c.SetLossWeight) and is_open_to(self.session.decide(command)):
            self.dismiss((command,))

    def _command(self) -> c.SetLossWeight | str:
        try:
            return c.SetLossWeight(self._names[self._at], real(self.query_one(Input).value))
        except UserError as error:
            return str(error)

    def _judge(self) -> None:
        command = self._command()
        bad = Content.assemble((f"{FAIL} ", "$text-error"), str(command))
        said = bad if isinstance(command, str) else told(self.session.decide(command))
        self.say("effect", Content.assemble(f"{self._names[self._at]}: ", said))

    def _show(self) -> None:
        typed = self.query_one(Input)
        typed.value = f"{self._weight(self._names[self._at]):g}"
        typed.action_select_all()
        self._judge()

    def _weight(self, term: str) -> float:
        return self.session.state.loss_weights.get(term, 0.0) if self.session.state else 0.0

    def _row(self, name: str) -> str:
        state, history = self.session.state, self.session.history
        is_on = state is not None and name in state.spec.active_terms(state.refinements)
        raw = number(history.newest(f"loss_raw/{name}")) if is_on else "off"
        chance = number(self.session.chance.get(name))
        return f"{padded(name, self._width)}{self._weight(name):>9.4g}{raw:>11}{chance:>9}"
