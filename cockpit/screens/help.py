"""Help for where a person is, and the map of all keys; both are built from the key table."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from cockpit.preferences.keymap import GROUPS, Group, KeyBinding, shown

_GROUPS_OF: Final[Mapping[str, tuple[Group, ...]]] = {"charts": ("charts", "steer", "look", "app")}

_HELP_COLUMNS: Final = 56
"""What a line of help has beside its key in the narrowest box that is not squeezed."""


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
    """What is on the screen, by (title, text), and which keys act on it."""

    def __init__(self, tab: str, texts: Sequence[tuple[str, str]], keys: Sequence[KeyBinding]) -> None:
        groups = _GROUPS_OF.get(tab, ("steer", "look", "app"))
        about = [Content.assemble((title, "bold $text-primary"), f"  {text}\n") for title, text in texts]
        super().__init__(f"Help: {tab}", [*about, *(table(group, keys) for group in groups)])


class KeyMapScreen(_Pages):
    """All keys by group."""

    def __init__(self, keys: Sequence[KeyBinding]) -> None:
        super().__init__("All keys", [table(group, keys) for group in GROUPS])


def table(group: Group, keys: Sequence[KeyBinding]) -> Content:
    """A group's keys, one a line, with what each does."""
    lines = [Content.assemble((GROUPS[group], "bold $text-primary"))]
    for key in keys:
        if key.group == group:
            where = shown(key) or "(palette)"
            first, *rest = textwrap.wrap(key.help, _HELP_COLUMNS) or [""]
            lines.append(Content.assemble((f"  {where:<10} ", "$text-accent"), first))
            lines.extend(Content(f"{'':<13}{line}") for line in rest)
    return Content("\n").join([*lines, Content("")])
