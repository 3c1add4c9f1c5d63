"""One line with the names of the tabs; a click or a key selects one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from textual import events
from textual.content import Content
from textual.widgets import Static

from cockpit.preferences.key_binding import KeyBinding
from cockpit.preferences.key_names import shown_key
from cockpit.preferences.keymap import KEYS
from cockpit.ui.panels.toolkit.line_parts import cut

_SHOW: Final = "show_"

TABS: Final[Mapping[str, str]] = {
    key.action: key.action.removeprefix(_SHOW) for key in KEYS if key.action.startswith(_SHOW)
}
"""The name of each tab by the action that shows it, from left to right."""


class TabBar(Static):
    """The tabs with their keys, the current one in brackets and in colour."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"tab-bar--current", "tab-bar--key"}

    def __init__(self, keys: Sequence[KeyBinding], *, id: str | None = None) -> None:
        super().__init__(markup=False, id=id)
        self._keys = {key.action: key.keys for key in keys}
        self._current = ""

    def show(self, current: str) -> None:
        """Mark the tab of that name."""
        self._current = current
        lines = (self._line(with_keys=True, pad=" "), self._line(with_keys=True), self._line(with_keys=False))
        width = self.size.width
        self.update(next((line for line in lines if line.cell_length <= width), cut(lines[-1], width)), layout=False)

    def on_resize(self, event: events.Resize) -> None:
        """Fit the line to the width: blanks are dropped first, then keys; no name is cut."""
        self.show(self._current)

    def _line(self, *, with_keys: bool, pad: str = "") -> Content:
        parts: list[Content] = []
        for action, name in TABS.items():
            key = next(iter(self._keys.get(action, ())), "") if with_keys else ""
            label = f"[{name}]" if name == self._current else f" {name}{pad}"
            style = "$text-primary bold" if name == self._current else "$text-muted"
            text = Content.assemble((shown_key(key) if key else "", "$text-secondary"), (label, style))
            parts.append(text.stylize(f"@click=app.dispatch('{action}')"))
        return Content(" ").join(parts)
