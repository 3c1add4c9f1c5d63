"""An action of the cockpit with its keys and its help, and the groups of actions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from cockpit.preferences.key_names import bound_as, shown_key
from engine.protocol.record import record

Group = Literal["steer", "charts", "look", "app", "runs"]

GROUPS: Final[Mapping[Group, str]] = {
    "steer": "Steering",
    "charts": "Charts",
    "look": "View",
    "app": "Program",
    "runs": "List of runs",
}
"""Titles of the groups, in the order of help."""


@record
class KeyBinding:
    """One action: its keys as they are written in settings, a label for the footer, a sentence for help."""

    action: str
    keys: tuple[str, ...]
    label: str
    help: str
    group: Group
    footer: bool = False


def bindings_of(key: KeyBinding) -> str:
    """Return the keys of an action, separated by commas, for a Textual binding; empty string for none."""
    return ",".join(bound_as(name) for name in key.keys)


def shown(key: KeyBinding) -> str:
    """Return the keys of an action as help shows them: 'space', '+ =', '^p :'."""
    return " ".join(shown_key(name) for name in key.keys)
