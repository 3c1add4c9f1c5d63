"""The bottom line: the keys that matter most now, as many as fit, each a button for the mouse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from textual import events
from textual.content import Content
from textual.widgets import Static

from cockpit.preferences.keymap import KeyBinding, shown_key

_ALWAYS: Final = ("quit", "key_map", "pause")
_ALERTED: Final = ("acknowledge", "remedies")
_USUAL: Final = ("lower_lr", "raise_lr", "promote", "help", "rollback", "checkpoint", "undo")
_PAUSED: Final = ("lower_lr", "rollback", "promote", "undo", "help", "checkpoint", "raise_lr")


@dataclass(frozen=True, slots=True)
class Present:
    """What the keys depend on: the tab that is shown, whether the run is paused, open to steering, or has an alert."""

    tab: str = "charts"
    paused: bool = False
    steerable: bool = True
    alerted: bool = False


class KeyBar(Static):
    """Keys and labels on one line, chosen for what the run does and for what is shown."""

    def __init__(self, keys: Sequence[KeyBinding], *, id: str | None = None) -> None:
        super().__init__(markup=False, id=id)
        self._keys = keys
        self._present = Present()

    def show(self, present: Present) -> None:
        """Offer the keys that matter in `present`."""
        if present != self._present:
            self._present = present
            self._write()

    def on_resize(self, event: events.Resize) -> None:
        """As many keys as the new width has room for."""
        self._write()

    def _write(self) -> None:
        present = self._present
        chosen = fitting(wanted(self._keys, present), self.size.width, lambda key: label_of(key, present))
        parts = [
            Content.assemble(
                (shown_key(key.keys[0]), "$text-accent bold"), (f" {label_of(key, present)}", "$text-muted")
            ).stylize(f"@click=app.dispatch('{key.action}')")
            for key in self._keys
            if key in chosen
        ]
        self.update(Content("  ").join(parts), layout=False)


def label_of(key: KeyBinding, present: Present) -> str:
    """What `key` does in `present`."""
    if key.action == "pause":
        return "resume" if present.paused else "pause"
    return key.label


def wanted(keys: Sequence[KeyBinding], present: Present) -> list[KeyBinding]:
    """The keys worth a place in the bottom line, the most needed first; none that would only be refused."""
    alerted, step = _ALERTED if present.alerted else (), ("step",) if present.paused else ()
    first = (*_ALWAYS, *alerted[:1], *step, *alerted[1:], *(_PAUSED if present.paused else _USUAL))
    offered = [key for key in keys if key.keys and (key.footer or key.action in alerted) and _acts(key, present)]
    ranks = {action: rank for rank, action in enumerate(first)}
    return sorted(offered, key=lambda key: ranks.get(key.action, len(ranks)))


def _acts(key: KeyBinding, present: Present) -> bool:
    """Whether `key` does anything now. An alert can be acknowledged after the end too; nothing can be done about it."""
    if key.group == "steer":
        return present.steerable or key.action == "acknowledge"
    return key.group != "charts" or present.tab == "charts"


def fitting(keys: Sequence[KeyBinding], width: int, label: Callable[[KeyBinding], str]) -> list[KeyBinding]:
    """The first of `keys` whose texts fit into `width` columns together."""
    chosen: list[KeyBinding] = []
    left = width
    for key in keys:
        needed = len(shown_key(key.keys[0])) + 1 + len(label(key))
        if needed > left:
            break
        chosen.append(key)
        left -= needed + 2
    return chosen
