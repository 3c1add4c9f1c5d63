"""The bottom line: the keys that matter most, as many as fit, each a button for the mouse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from textual import events
from textual.content import Content
from textual.widgets import Static

from cockpit.keys import Key, shown_key

_FIRST: Final = (
    "quit",
    "key_map",
    "pause",
    "lower_lr",
    "raise_lr",
    "promote",
    "help",
    "rollback",
    "checkpoint",
    "undo",
)
"""What a narrow terminal keeps, the most needed first; everything else with `footer` follows in the table's order."""


class KeyBar(Static):
    """Keys and labels on one line; `paused` turns the label of the space bar to what it does now."""

    def __init__(self, keys: Sequence[Key], *, id: str | None = None) -> None:
        super().__init__(markup=False, id=id)
        self._keys = [key for key in keys if key.footer and key.keys]
        self._paused = False

    def show(self, *, paused: bool) -> None:
        """Say what the keys do now."""
        if paused != self._paused:
            self._paused = paused
            self._write()

    def on_resize(self, event: events.Resize) -> None:
        """As many keys as the new width has room for."""
        self._write()

    def _write(self) -> None:
        chosen = fitting(self._keys, self.size.width, self._label)
        parts = [
            Content.assemble((shown_key(key.keys[0]), "$text-accent bold"), (f" {self._label(key)}", "$text-muted"))
            .stylize(f"@click=app.dispatch('{key.action}')")
            for key in chosen
        ]  # fmt: skip
        self.update(Content("  ").join(parts), layout=False)

    def _label(self, key: Key) -> str:
        if key.action == "pause":
            return "resume" if self._paused else "pause"
        return key.label


def fitting(keys: Sequence[Key], width: int, label: Callable[[Key], str]) -> list[Key]:
    """The keys whose texts fit into `width` columns, the most needed first to be chosen, in the table's order."""
    order = [key for action in _FIRST for key in keys if key.action == action]
    order += [key for key in keys if key not in order]
    chosen: list[Key] = []
    left = width
    for key in order:
        needed = len(shown_key(key.keys[0])) + 1 + len(label(key))
        if needed > left:
            break
        chosen.append(key)
        left -= needed + 2
    return [key for key in keys if key in chosen]
