"""One line that names what can be shown and what is; a click or the key shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual.content import Content
from textual.widgets import Static

from cockpit.keys import Key, shown_key

TABS: Mapping[str, str] = {
    "show_charts": "charts",
    "show_run": "run",
    "show_preview": "preview",
    "show_events": "events",
    "show_log": "log",
    "show_config": "config",
}
"""From the action that shows a tab to the tab's name, from left to right."""


class TabBar(Static):
    """The tabs with their keys, the current one marked by brackets as well as by colour."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"tab-bar--current", "tab-bar--key"}

    def __init__(self, keys: Sequence[Key], *, id: str | None = None) -> None:
        super().__init__(markup=False, id=id)
        self._keys = {key.action: key.keys for key in keys}

    def show(self, current: str) -> None:
        """Mark the tab of that name."""
        parts: list[Content] = []
        for action, name in TABS.items():
            key = next(iter(self._keys.get(action, ())), "")
            label = f"[{name}]" if name == current else f" {name} "
            style = "$text-primary bold" if name == current else "$text-muted"
            text = Content.assemble((f"{shown_key(key)}" if key else "", "$text-secondary"), (label, style))
            parts.append(text.stylize(f"@click=app.dispatch('{action}')"))
        self.update(Content(" ").join(parts), layout=False)
