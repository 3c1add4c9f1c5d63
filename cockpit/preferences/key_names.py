"""The names of keys: which of them a terminal can send, and how settings, Textual and help write them."""

from __future__ import annotations

import unicodedata
from typing import Final

from engine.errors import UserError, did_you_mean

TAKEN_BY_TERMINALS: Final = ("ctrl+a", "ctrl+b", "ctrl+j", "ctrl+o", "ctrl+q", "ctrl+s", "ctrl+z")
"""Keys that tmux, screen or the terminal use: no default uses them, but settings may."""

_EDITING: Final = ("space", "enter", "escape", "tab", "backspace", "delete", "insert")
_MOVING: Final = ("home", "end", "pageup", "pagedown", "up", "down", "left", "right")
_NAMED: Final = frozenset((*_EDITING, *_MOVING, *(f"f{number}" for number in range(1, 25))))

_MODIFIERS: Final = ("ctrl", "alt", "shift")

_SENT_AS: Final = {"ctrl+i": "tab", "ctrl+m": "enter", "ctrl+[": "escape"}
"""Combinations that a terminal sends as another key."""

_SHORT_NAMES: Final = {
    "solidus": "slash",
    "reverse_solidus": "backslash",
    "commercial_at": "at",
    "hyphen_minus": "minus",
    "plus_sign": "plus",
    "low_line": "underscore",
}


def checked_key(name: str, action: str) -> str:
    """Return a key that a terminal can send, in lower case except for a single character.

    Raises UserError with `action` and the nearest key for any other name.
    """
    where = f"the key of {action!r}"
    modifiers, key = _parts(name)
    if unknown := [modifier for modifier in modifiers if modifier not in _MODIFIERS]:
        raise UserError(f"{where} cannot be {name!r}: {did_you_mean(unknown[0], _MODIFIERS)}")
    key = key if len(key) == 1 else key.lower()
    if key not in _NAMED and not (len(key) == 1 and key.isprintable() and key != " "):
        raise UserError(f"{where} cannot be {name!r}: {did_you_mean(key, _NAMED)}")
    if modifiers == ["shift"] and len(key) == 1:
        raise UserError(f"{where} cannot be {name!r}: write the character itself, {key.upper()!r}")
    whole_key = "+".join([*modifiers, key])
    if whole_key in _SENT_AS:
        raise UserError(f"{where} cannot be {name!r}: terminals send {_SENT_AS[whole_key]!r} for it")
    return whole_key


def bound_as(key: str) -> str:
    """Return Textual's name of a key: ',' is 'comma', '+' is 'plus', 'ctrl+p' is unchanged."""
    modifiers, last = _parts(key)
    if len(last) == 1 and not last.isalnum():
        name = unicodedata.name(last).lower().replace("-", "_").replace(" ", "_")
        last = _SHORT_NAMES.get(name, name)
    return "+".join([*modifiers, last])


def shown_key(name: str) -> str:
    """Return a key as help shows it: control keys with a caret, function keys in upper case."""
    if name.startswith("ctrl+"):
        return f"^{name.removeprefix('ctrl+')}"
    return name.upper() if name[1:].isdigit() else name


def _parts(name: str) -> tuple[list[str], str]:
    """Return the modifiers in lower case and the key; a plus at the end is the plus key."""
    held, plus, key = name[:-1].rpartition("+")
    modifiers = held.lower().split("+") if plus else []
    return modifiers, key + name[-1:]
