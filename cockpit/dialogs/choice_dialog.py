"""Choosing one of several commands, each with the effect it would have or the reason why it would be refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button, OptionList
from textual.widgets.option_list import Option

from cockpit.dialogs.dialog import FAIL, Dialog, button, line, told
from cockpit.session.session import Session
from engine.protocol.commands import Command
from engine.protocol.events import Status


@dataclass(frozen=True, slots=True)
class Choice:
    """One row: a label, and the command."""

    label: str
    command: Command


class MenuDialog(Dialog):
    """A list of choices; `choices` is asked again whenever something changed. A digit or a click chooses at once.

    `inline`: each row ends with its effect; otherwise the effect of the row under the cursor stands below the list.
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
        super().__init__(session, title, keys="digit or enter chooses   escape leaves")
        self._list = choices
        self._choices: tuple[Choice, ...] = ()
        self._rows: tuple[Content, ...] = ()
        self._explain = explain
        self._inline = inline

    def body(self) -> Iterable[Widget]:
        """What to know, the list, and room for the effect of the row under the cursor."""
        return line("explained", hint=True), OptionList(id="choices", markup=False), line("effect")

    def buttons(self) -> Iterable[Button]:
        """Choose the row under the cursor, or leave."""
        return button("Choose", "choose", "enter"), button("Leave", "leave", "escape")

    def renew(self) -> None:
        """List the choices anew where they changed, and say what the one under the cursor would do now."""
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
        """Another row, another effect."""
        event.stop()
        self._say_effect()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A click chooses."""
        event.stop()
        self.action_pick(event.option_index)

    def action_choose(self) -> None:
        """Choose the row under the cursor."""
        at = self.query_one(OptionList).highlighted
        if at is not None:
            self.action_pick(at)

    def action_pick(self, at: int) -> None:
        """Choose row `at`, counted from 0; one that would be refused says why and stays."""
        if at >= len(self._choices):
            return
        command = self._choices[at].command
        if self.session.decide(command).status is not Status.REFUSED:
            self.dismiss((command,))
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
        """A row for each choice. The effects are a column where all fit in it, else each is a line below its label."""
        labels = [f"{number if number < 10 else ' '}  {choice.label}" for number, choice in enumerate(self._choices, 1)]
        if not self._inline:
            return tuple(map(Content, labels))
        effects = [told(self.session.decide(choice.command), brief=True) for choice in self._choices]
        width = max(map(len, labels), default=0)
        is_table = width + 3 + max((effect.cell_length for effect in effects), default=0) <= self._room()
        return tuple(
            Content.assemble(f"{label:{width}}   " if is_table else f"{label}\n     ", effect)
            for label, effect in zip(labels, effects, strict=True)
        )

    def _room(self) -> int:
        """Columns of a row beside the list's scroll bar; the box is as wide as its style says."""
        return min(74, self.app.size.width * 96 // 100) - 6
