"""The keys of a comparison: those of the charts and tabs of a run, with what they do here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from cockpit.charts.view import MOVES
from cockpit.preferences.key_binding import KeyBinding, shown
from cockpit.preferences.key_names import bound_as, shown_key

TABS: Final[Mapping[str, str]] = {"show_charts": "charts", "show_run": "config", "show_preview": "interventions"}
"""The keys of the main screen's first tabs show those of a comparison."""

HELP: Final = ("key_map", "help")
"""Actions that list the keys: there are few enough for one list."""

_OTHER_HELP: Final[Mapping[str, tuple[str, str]]] = {
    "x_axis": ("x axis", "go by step, epoch, samples or running time"),
    "smoothing": ("smoothing", "smooth all curves more, or not at all"),
    "show_run": ("config", "the keys of the configurations that differ"),
    "show_preview": ("interventions", "the interventions by step, with actor and outcome"),
    "help": ("keys", "all keys of a comparison"),
    "key_map": ("keys", "all keys of a comparison"),
    "screenshot": ("screenshot", "save the screen as an SVG in the current directory"),
    "quit": ("leave", "leave the comparison; no run is affected"),
}
"""Labels and help of the actions that do something else here than on the screen of a run."""

_PLAIN: Final = ("log_scale", "maximise", "lock_range", "choose_metrics", "next_chart", "previous_chart")
_ACTIONS: Final = frozenset((*MOVES, *_PLAIN, *TABS, *_OTHER_HELP, "next_tab", "previous_tab", "theme"))

_HINTED: Final = (
    *("quit", "key_map", "x_axis", "smoothing", "choose_metrics", "next_chart", "maximise", "log_scale", "lock_range"),
    "zoom_in",
)
"""Actions in the bottom line, the most important first."""


def comparison_keys(keys: Iterable[KeyBinding]) -> tuple[KeyBinding, ...]:
    """Return the rows of the key table that act in a comparison, with their labels and help there."""
    return tuple(_of_comparison(key) for key in keys if key.action in _ACTIONS)


def _of_comparison(key: KeyBinding) -> KeyBinding:
    label, said = _OTHER_HELP.get(key.action, (key.label, key.help))
    return replace(key, label=label, help=said)


def actions_of(keys: Iterable[KeyBinding]) -> dict[str, KeyBinding]:
    """Return the rows of a key table by Textual's names of their keys."""
    return {bound_as(name): key for key in keys for name in key.keys}


def hints(keys: Sequence[KeyBinding], width: int) -> str:
    """Return the most important keys with their labels, as many as fit into `width` columns."""
    rows = {key.action: key for key in keys if key.keys}
    pieces = [f"{shown_key(rows[name].keys[0])} {rows[name].label}" for name in _HINTED if name in rows]
    pieces.insert(2, f"{'/'.join(shown(rows[name]) for name in TABS if name in rows)} tabs")
    while len("  ".join(pieces)) > width and len(pieces) > 1:
        pieces.pop()
    return "  ".join(pieces)
