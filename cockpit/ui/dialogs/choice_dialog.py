"""The dialog that offers several commands, each with its predicted effect or the reason of its refusal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button, OptionList
from textual.widgets.option_list import Option

from cockpit.session.session import Session
from cockpit.ui.dialogs.box import FAIL, button, line
from cockpit.ui.dialogs.dialog import Dialog, told
from engine.protocol.commands import Command
from engine.protocol.record import record


@record
class Choice:
    """One row of the list: a label and its command."""

    label: str
    command: Command


class MenuDialog(Dialog):
    """A list of choices that `choices` returns after each change of the run. A digit or a click chooses immediately.

    `inline`: each row ends with its effect; otherwise the effect of the row under the cursor is shown below the list.
    """

    AUTO_FOCUS = "OptionList"
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(digit), f"pick({digit - 1})", "choose", show=False) for digit in range(1, 10)),
        Binding("enter", "choose", "choose", show=False),
    ]

    def __init__(
        self,
        session: Session,
        title: str,
        choices: Callable[[], Sequence[Choice]],
        *,
        explain: Callable[[], str],
        inline: bool = True,
    ) -> None:
        super().__init__(session, title, keys="digit or enter chooses   escape cancels")
        self._list = choices
        self._choices: tuple[Choice, ...] = ()
        self._rows: tuple[Content, ...] = ()
        self._explain = explain
        self._inline = inline

    def body(self) -> Iterable[Widget]:
        """Return the explanation, the list and a line for the effect of the row under the cursor."""
        return line("explained", hint=True), OptionList(id="choices", markup=False), line("effect")

    def buttons(self) -> Iterable[Button]:
        """Return the Choose and Cancel buttons."""
        return button("Choose", "choose", "enter"), button("Cancel", "cancel", "escape")

    def renew(self) -> None:
        """List the choices again if they changed, and show the effect of the one under the cursor."""
        self.say("explained", self._explain())
        self._choices = tuple(self._list())
        rows = self._listed()
        if rows != self._rows:
            self._rows, listed = rows, self.query_one(OptionList)
            at = listed.highlighted or 0
            listed.set_options(map(Option, rows))
            listed.highlighted = min(at, len(rows) - 1) if rows else None
        self._say_effect()

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Show the effect of the row that the cursor is on now."""
        event.stop()
        self._say_effect()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Choose the clicked row."""
        event.stop()
        self.action_pick(event.option_index)

    def action_choose(self) -> None:
        """Choose the row under the cursor."""
        at = self.query_one(OptionList).highlighted
        if at is not None:
            self.action_pick(at)

    def action_pick(self, at: int) -> None:
        """Choose row `at`, counted from 0. A row that is refused shows the reason, and the dialog stays open."""
        if at >= len(self._choices):
            return
        if self.close_with(self._choices[at].command):
            return
        self.query_one(OptionList).highlighted = at
        self._say_effect()

    def _say_effect(self) -> None:
        at = self.query_one(OptionList).highlighted
        if at is None or at >= len(self._choices):
            self.say("effect", Content.assemble((f"{FAIL} ", "$text-error"), "there is nothing to choose"))
            return
        self.say("effect", "" if self._inline else told(self.session.decide(self._choices[at].command)))

    def _listed(self) -> tuple[Content, ...]:
        """Return a row for each choice: the effects in a column if all fit, else each on a line below its label."""
        labels = [f"{number if number < 10 else ' '}  {choice.label}" for number, choice in enumerate(self._choices, 1)]
        if not self._inline:
            return tuple(map(Content, labels))
        effects = [told(self.session.decide(choice.command), brief=True) for choice in self._choices]
        width = max(map(len, labels), default=0)
        is_table = width + 3 + max((effect.cell_length for effect in effects), default=0) <= self.room
        return tuple(
            Content.assemble(f"{label:{width}}   " if is_table else f"{label}\n     ", effect)
            for label, effect in zip(labels, effects, strict=True)
        )
