"""Help for the current tab, and the list of all keys, both built from the key table."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from cockpit.preferences.key_binding import GROUPS, Group, KeyBinding, shown
from cockpit.text.format import escape_control
from cockpit.ui.screens.tabs import PAGE_OF

_GROUPS_OF: Final[Mapping[str, tuple[Group, ...]]] = {"charts": ("charts", "steer", "look", "app")}

_UNSUPPORTED: Final = "$foreground 45%"

_FILTER_HELP: Final = (
    ("base", "a word in name, tag, note, task or state; its letters in order, if no run has it"),
    ("lr<=1e-5", "a condition of `wait`: step, epoch, phase, loss, lr, score, best, nan, alerts, spikes"),
    ("phase:3", "the same as phase==3; nan:yes and alerts:no for more than none, and none"),
    ("state:run", "the beginning of a state; state:live for runs that a process writes"),
    ("tag:base", "exactly this tag; name:, note:, task: and parent: for a part of each"),
    ("or, not", "without them all parts must hold: nan:yes or alerts>2, not tag:base"),
)
"""Examples of a filter of runs, each with its meaning."""

_HELP_COLUMNS: Final = 56
"""Columns for a help line next to its key in the narrowest box."""


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
        """Yield the text in a scrollable box."""
        with VerticalScroll() as box:
            box.border_title, box.border_subtitle = self._heading, "escape closes"
            for part in self._parts:
                yield Static(part, markup=False)

    def action_close(self) -> None:
        """Close the box."""
        self.dismiss(None)


class HelpScreen(_Pages):
    """Help for the tab `tab`: its panels by (title, text), its keys, and the manual's page.

    `unsupported` are the actions without an effect at present, each with the reason.
    """

    def __init__(
        self,
        tab: str,
        texts: Sequence[tuple[str, str]],
        keys: Sequence[KeyBinding],
        unsupported: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        groups = _GROUPS_OF.get(tab, ("steer", "look", "app"))
        about = [Content.assemble((title, "bold $text-primary"), f"  {text}\n") for title, text in texts]
        super().__init__(f"Help: {tab}", [*about, *(table(group, keys, unsupported) for group in groups)])
        self._tab = tab

    def on_mount(self) -> None:
        """Add the page after the first refresh, as importing its parser takes a moment."""
        if self._tab in PAGE_OF:
            self.call_after_refresh(self._add_page)

    def _add_page(self) -> None:
        from cockpit.text.page_view import PageView  # noqa: PLC0415 - only help needs a Markdown parser
        from cockpit.text.pages import read_page, section  # noqa: PLC0415

        name, title = PAGE_OF[self._tab]
        box = self.query_one(VerticalScroll)
        box.mount(Static(Content.assemble(("The manual", "bold $text-primary"), f"  main.py docs {name}")))
        box.mount(Static(PageView(section(read_page(name), title)), id="page"))


class KeyMapScreen(_Pages):
    """All keys by group; `unsupported` are the actions without an effect at present, each with the reason."""

    def __init__(self, keys: Sequence[KeyBinding], unsupported: Mapping[str, str] = MappingProxyType({})) -> None:
        present = {key.group for key in keys}
        groups: list[Group] = [group for group in GROUPS if group in present]
        super().__init__("All keys", [table(group, keys, unsupported) for group in groups])


class RunKeysScreen(_Pages):
    """The keys of the list of runs, and the language of its filter."""

    def __init__(self, keys: Sequence[KeyBinding]) -> None:
        filtered = [Content.assemble(("Filter", "bold $text-primary")), *map(_filter_line, _FILTER_HELP)]
        super().__init__("List of runs", [table("runs", keys), Content("\n").join(filtered)])


def table(group: Group, keys: Sequence[KeyBinding], unsupported: Mapping[str, str] = MappingProxyType({})) -> Content:
    """Return a group's keys, one per line, each with its help; unsupported ones are grey, with the reason."""
    lines = [Content.assemble((GROUPS[group], "bold $text-primary"))]
    for key in (key for key in keys if key.group == group):
        where = shown(key) or "(palette)"
        reason = unsupported.get(key.action, "")
        said = escape_control(f"{key.help} - {reason}") if reason else key.help
        first, *rest = textwrap.wrap(said, _HELP_COLUMNS) or [""]
        style = _UNSUPPORTED if reason else ""
        lines.append(Content.assemble((f"  {where:<10} ", style or "$text-accent"), (first, style)))
        lines.extend(Content.styled(f"{'':<13}{line}", style) for line in rest)
    return Content("\n").join([*lines, Content("")])


def _filter_line(row: tuple[str, str]) -> Content:
    """Return an example of a filter with its meaning, wrapped like the help of a key."""
    example, meaning = row
    first, *rest = textwrap.wrap(meaning, _HELP_COLUMNS)
    lines = [Content.assemble((f"  {example:<10} ", "$text-accent"), first)]
    return Content("\n").join([*lines, *(Content(f"{'':<13}{line}") for line in rest)])
