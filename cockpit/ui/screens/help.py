"""Help for the current tab, and the list of all keys, both built from the key table."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import ClassVar, Final

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from cockpit.preferences.key_binding import GROUPS, Group, KeyBinding, shown
from cockpit.text.format import escape_control
from cockpit.ui.screens.tabs import PAGE_OF
from engine.protocol.words.command_syntax import program_name

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

_WIDTH: Final = 92
"""Columns of the box in a wide terminal, as its style sets them."""

_FRAME: Final = 8
"""Columns of the box's border, padding and scroll bar."""

_KEY_COLUMNS: Final = 13
"""Columns of a key before its help."""

_NARROW: Final = 20
"""Least columns for the help of a key."""

_Part = Callable[[int], Content]
"""Returns a part of the text for a number of columns."""


class _Pages(ModalScreen[None], inherit_bindings=False):
    """A box of text that any of the usual keys closes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter,f1,question_mark,ctrl+c", "close", show=False),
    ]

    def __init__(self, title: str, parts: Iterable[_Part]) -> None:
        super().__init__()
        self._heading = title
        self._parts = tuple((part, Static(markup=False)) for part in parts)

    def compose(self) -> ComposeResult:
        """Yield the text in a scrollable box."""
        with VerticalScroll() as box:
            box.border_title, box.border_subtitle = self._heading, "escape closes"
            for _, static in self._parts:
                yield static

    def on_resize(self, event: events.Resize) -> None:
        """Wrap the text for the width."""
        room = min(_WIDTH, event.size.width * 96 // 100) - _FRAME
        for part, static in self._parts:
            static.update(part(room))

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
        about = [partial(_about, *text) for text in texts]
        super().__init__(f"Help: {tab}", [*about, *(partial(table, group, keys, unsupported) for group in groups)])
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
        box.mount(Static(Content.assemble(("The manual", "bold $text-primary"), f"  {program_name()} docs {name}")))
        box.mount(Static(PageView(section(read_page(name), title)), id="page"))


class KeyMapScreen(_Pages):
    """All keys by group; `unsupported` are the actions without an effect at present, each with the reason."""

    def __init__(self, keys: Sequence[KeyBinding], unsupported: Mapping[str, str] = MappingProxyType({})) -> None:
        present = {key.group for key in keys}
        groups: list[Group] = [group for group in GROUPS if group in present]
        super().__init__("All keys", [partial(table, group, keys, unsupported) for group in groups])


class RunKeysScreen(_Pages):
    """The keys of the list of runs, and the language of its filter."""

    def __init__(self, keys: Sequence[KeyBinding]) -> None:
        super().__init__("List of runs", [partial(table, "runs", keys, {}), _filters])


def _about(title: str, text: str, room: int) -> Content:
    """Return the text about a panel; `room` does not matter, as its lines have no indent."""
    return Content.assemble((title, "bold $text-primary"), f"  {text}\n")


def table(group: Group, keys: Sequence[KeyBinding], unsupported: Mapping[str, str], room: int) -> Content:
    """Return a group's keys, wrapped to `room` columns; unsupported ones are grey, with the reason."""
    lines = [Content.assemble((GROUPS[group], "bold $text-primary"))]
    for key in (key for key in keys if key.group == group):
        where = shown(key) or "(palette)"
        reason = unsupported.get(key.action, "")
        said = escape_control(f"{key.help} - {reason}") if reason else key.help
        lines.extend(_row(where, said, room, _UNSUPPORTED if reason else ""))
    return Content("\n").join([*lines, Content("")])


def _filters(room: int) -> Content:
    """Return the examples of a filter, each with its meaning."""
    rows = (line for example, meaning in _FILTER_HELP for line in _row(example, meaning, room))
    return Content("\n").join([Content.assemble(("Filter", "bold $text-primary")), *rows])


def _row(what: str, said: str, room: int, style: str = "") -> Iterable[Content]:
    """Yield a key or an example with its text in `room` columns, further lines of it indented."""
    first, *rest = textwrap.wrap(said, max(room - _KEY_COLUMNS, _NARROW)) or [""]
    yield Content.assemble((f"  {what:<10} ", style or "$text-accent"), (first, style))
    yield from (Content.styled(f"{'':<{_KEY_COLUMNS}}{line}", style) for line in rest)
