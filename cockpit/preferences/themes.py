"""The cockpit's own themes, dark and light, with colours that suit all kinds of colour vision."""

from __future__ import annotations

from typing import Any, Final

from textual.app import App
from textual.theme import Theme

from engine.errors import UserError, did_you_mean

DARK: Final = "cockpit-dark"
LIGHT: Final = "cockpit-light"

THEMES: Final = (
    # Hues after Okabe and Ito: good is bluish green, bad is vermilion, never green against red.
    Theme(
        name=DARK,
        dark=True,
        primary="#56B4E9",
        secondary="#9AA7B5",
        accent="#CC79A7",
        success="#2DBE95",
        warning="#E69F00",
        error="#F0692B",
        foreground="#DCE3EA",
        background="#0F1419",
        surface="#161D25",
        panel="#1F2933",
    ),
    Theme(
        name=LIGHT,
        dark=False,
        primary="#0068A8",
        secondary="#54606C",
        accent="#9C3D72",
        success="#00735A",
        warning="#8F5A00",
        error="#B83A00",
        foreground="#1A2026",
        background="#FBFBF8",
        surface="#F1F2EE",
        panel="#E4E6E1",
    ),
)

IN_TURN: Final = (DARK, LIGHT, "nord", "gruvbox")
"""Themes that the theme key cycles through: the cockpit's own, and two common ones of Textual."""


def use_theme(app: App[Any], name: str) -> None:
    """Register the themes with `app` and choose the one called `name`. Raises UserError if there is none."""
    for theme in THEMES:
        app.register_theme(theme)
    if name not in app.available_themes:
        raise UserError(f"there is no theme {name!r}: {did_you_mean(name, app.available_themes)}")
    app.theme = name


def next_theme(name: str) -> str:
    """Return the theme after `name` in turn; the first one after a theme that has no turn."""
    at = IN_TURN.index(name) if name in IN_TURN else -1
    return IN_TURN[(at + 1) % len(IN_TURN)]
