"""The dialog for the weight of a loss term: every term with its weight, raw loss and chance level, and an input."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button, Input, OptionList
from textual.widgets.option_list import Option

from cockpit.dialogs.dialog import FAIL, DecidedCommand, Dialog, button, field, is_open_to, line, told
from cockpit.dialogs.value_dialog import real
from cockpit.session.session import Session
from cockpit.text.format import number
from engine.errors import UserError
from engine.protocol import commands as c

_COLUMNS = f"   {'term':16}{'weight':>9}{'raw loss':>11}{'chance':>9}"


class WeightDialog(Dialog):
    """Up and down choose the term, also while a value is typed. `term` is the term to begin with."""

    AUTO_FOCUS = "Input"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "term above", show=False),
        Binding("down", "move(1)", "term below", show=False),
        Binding("enter", "submit", "send", show=False),
    ]

    def __init__(self, session: Session, term: str = "") -> None:
        super().__init__(session, "Weight of a loss term", keys="up/down term   enter sends   escape cancels")
        self._terms = session.spec.term_names
        self._at = self._terms.index(term) if term in self._terms else 0
        self._rows: tuple[str, ...] = ()

    def body(self) -> Iterable[Widget]:
        """Return the terms, the input and a line for the outcome."""
        columns = line("columns", hint=True)
        columns.update(Content(_COLUMNS))
        return columns, OptionList(id="terms", markup=False), field("value"), line("effect")

    def buttons(self) -> Iterable[Button]:
        """Return the Send and Cancel buttons."""
        return button("Send", "submit", "enter"), button("Cancel", "cancel", "escape")

    def on_mount(self) -> None:
        """Put the weight of the first term into the input."""
        self.renew()
        self._show_term()

    def renew(self) -> None:
        """Show the terms of the newest state, and the outcome of what is typed."""
        rows = tuple(map(self._row, self._terms))
        if rows != self._rows:
            self._rows = rows
            terms = self.query_one(OptionList)
            with self.prevent(OptionList.OptionHighlighted):
                terms.set_options(Option(Content(row)) for row in rows)
                terms.highlighted = self._at
        self._judge()

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Put the weight of the term that the cursor is on now into the input."""
        event.stop()
        if event.option_index != self._at:
            self._at = event.option_index
            self._show_term()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Go to the input on a click or enter on a term."""
        event.stop()
        self._at = event.option_index
        self._show_term()
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
        """Go to the term above or below."""
        self.query_one(OptionList).highlighted = (self._at + by) % len(self._terms)

    def action_submit(self) -> None:
        """Close with the command, unless it is refused or changes nothing, as the box shows."""
        command = self._command()
        if isinstance(command, c.SetLossWeight) and is_open_to(outcome := self.session.decide(command)):
            self.dismiss((DecidedCommand(command, outcome),))

    def _command(self) -> c.SetLossWeight | str:
        try:
            return c.SetLossWeight(self._terms[self._at], real(self.query_one(Input).value))
        except UserError as error:
            return str(error)

    def _judge(self) -> None:
        command = self._command()
        bad = Content.assemble((f"{FAIL} ", "$text-error"), str(command))
        said = bad if isinstance(command, str) else told(self.session.decide(command))
        self.say("effect", Content.assemble(f"{self._terms[self._at]}: ", said))

    def _show_term(self) -> None:
        typed = self.query_one(Input)
        typed.value = f"{self._weight(self._terms[self._at]):g}"
        typed.action_select_all()
        self._judge()

    def _weight(self, term: str) -> float:
        return self.session.state.loss_weights.get(term, 0.0) if self.session.state else 0.0

    def _row(self, term: str) -> str:
        state, history = self.session.state, self.session.history
        is_on = state is not None and term in state.spec.active_terms(state.refinements)
        raw = number(history.newest(f"loss_raw/{term}")) if is_on else "off"
        return f"{term:16}{self._weight(term):>9.4g}{raw:>11}{number(self.session.chance.get(term)):>9}"
