"""The bottom line: the most important keys at present, as many as fit, each a button."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from textual import events
from textual.content import Content
from textual.widgets import Static

from cockpit.preferences.key_binding import KeyBinding
from cockpit.preferences.key_names import shown_key
from engine.protocol.record import record

_ALWAYS: Final = ("quit", "key_map", "pause", "run_quit", "run_help", "run_attach")
_ALERTED: Final = ("acknowledge", "remedies")
_USUAL: Final = ("lower_lr", "raise_lr", "promote", "help", "detach", "rollback", "checkpoint", "undo")
_PAUSED: Final = ("lower_lr", "rollback", "promote", "undo", "help", "checkpoint", "raise_lr", "detach")


@record
class Present:
    """Inputs of the key bar: the tab, and whether the run is paused, can be steered, or has an alert.

    `unsupported` are the actions that the run cannot carry out, or that the screen does not have.
    """

    tab: str = "charts"
    paused: bool = False
    steerable: bool = True
    alerted: bool = False
    unsupported: frozenset[str] = frozenset()


class KeyBar(Static):
    """Keys and labels on one line, chosen for the run's state and the tab."""

    def __init__(self, keys: Sequence[KeyBinding], *, id: str | None = None) -> None:
        super().__init__(markup=False, id=id)
        self._keys = keys
        self._present = Present()

    def show(self, present: Present) -> None:
        """Show the keys for `present`."""
        if present != self._present:
            self._present = present
            self._write()

    def on_resize(self, event: events.Resize) -> None:
        """Show as many keys as the new width has room for."""
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
    """Return the label of `key` for `present`."""
    if key.action == "pause":
        return "resume" if present.paused else "pause"
    return key.label


def wanted(keys: Sequence[KeyBinding], present: Present) -> list[KeyBinding]:
    """Return the keys for the bottom line, the most important first, without those that would be refused."""
    alerted, step = _ALERTED if present.alerted else (), ("step",) if present.paused else ()
    first = (*_ALWAYS, *alerted[:1], *step, *alerted[1:], *(_PAUSED if present.paused else _USUAL))
    offered = [key for key in keys if key.keys and (key.footer or key.action in alerted) and _acts(key, present)]
    ranks = {action: rank for rank, action in enumerate(first)}
    return sorted(offered, key=lambda key: ranks.get(key.action, len(ranks)))


def _acts(key: KeyBinding, present: Present) -> bool:
    """Return whether `key` has an effect now. An alert can be acknowledged after the end, but not remedied."""
    if key.action in present.unsupported:
        return False
    if key.group == "steer":
        return present.steerable or key.action == "acknowledge"
    return key.group != "charts" or present.tab == "charts"


def fitting(keys: Sequence[KeyBinding], width: int, label: Callable[[KeyBinding], str]) -> list[KeyBinding]:
    """Return the first of `keys` whose texts fit into `width` columns."""
    chosen: list[KeyBinding] = []
    left = width
    for key in keys:
        needed = len(shown_key(key.keys[0])) + 1 + len(label(key))
        if needed > left:
            break
        chosen.append(key)
        left -= needed + 2
    return chosen
