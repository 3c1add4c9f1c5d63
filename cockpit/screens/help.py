"""Help for where a person is, and the map of all keys; both are built from the key table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from cockpit.keys import GROUPS, Group, Key, shown

_ABOUT: Final[Mapping[str, str]] = {
    "charts": "Each chart shows one group of numbers over steps. The raw curve stays behind a smoothed one; a dashed "
    "line is the chance level, or the bound that a norm should stay under. Marks under the plot are NaN and Inf steps, "
    "upright lines are interventions, phases, checkpoints and alerts. All charts share zoom and cursor.",
    "run": "The four phases and the gate to the next one, the refinements with their losses and shares of the "
    "gradient, and what the guardian has seen.",
    "preview": "Validation images with what the network predicts, the truth, outlines and errors, from the newest "
    "validation.",
    "events": "Everything that happened, with who did it and why. Enter or a click moves the charts' cursor there.",
    "log": "What the program printed while the screen had the terminal: warnings, errors, tracebacks, native code as "
    "well. The same stands in console.log in the run's directory.",
    "config": "The resolved configuration, and what was changed since the start.",
}
"""What each tab shows."""

_GROUPS_OF: Final[Mapping[str, tuple[Group, ...]]] = {"charts": ("charts", "steer", "look", "app")}


class _Pages(ModalScreen[None], inherit_bindings=False):
    """A box of text that any of the usual keys closes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter,f1,question_mark,ctrl+c", "close", show=False),
    ]

    def __init__(self, title: str, parts: Iterable[Content]) -> None:
        super().__init__()
        self._heading = title
        self._parts = tuple(parts)

    def compose(self) -> ComposeResult:
        """The text, that scrolls where it is longer than the screen."""
        with VerticalScroll() as box:
            box.border_title, box.border_subtitle = self._heading, "escape closes"
            for part in self._parts:
                yield Static(part, markup=False)

    def action_close(self) -> None:
        """Back to the run."""
        self.dismiss(None)


class HelpScreen(_Pages):
    """What the current tab shows and which keys act on it."""

    def __init__(self, tab: str, keys: Sequence[Key]) -> None:
        groups = _GROUPS_OF.get(tab, ("steer", "look", "app"))
        about = Content.assemble((_ABOUT[tab], "$foreground"), "\n")
        super().__init__(f"Help: {tab}", [about, *(table(group, keys) for group in groups)])


class KeyMapScreen(_Pages):
    """All keys by group."""

    def __init__(self, keys: Sequence[Key]) -> None:
        super().__init__("All keys", [table(group, keys) for group in GROUPS])


def table(group: Group, keys: Sequence[Key]) -> Content:
    """A group's keys, one a line, with what each does."""
    lines = [Content.assemble((GROUPS[group], "bold $text-primary"))]
    for key in keys:
        if key.group == group:
            where = shown(key) or "(palette)"
            lines.append(
                Content.assemble((f"  {where:<12}", "$text-accent"), f"{key.label:<22} ", (key.help, "$text-muted"))
            )
    return Content("\n").join([*lines, Content("")])
