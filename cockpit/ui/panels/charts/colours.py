"""Colours of charts: Okabe and Ito's palette for curves, an even scale for heat, theme colours for the rest.

A table, not component classes: Textual would match each class against all rules for every chart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from rich.style import Style
from textual.color import Color
from textual.widget import Widget

from cockpit.charts.draw.canvas import ink_of, paper_of
from cockpit.charts.inks import NUM_CURVES, NUM_HEATS, Ink

_RAW_ALPHA: Final = 0.42
_CURSOR_PAPER: Final = ("foreground", 0.14)
_BOLD: Final = frozenset((Ink.TITLE, Ink.VALUE, Ink.ALERT, Ink.ON_CURVE))

_THEMED: Final[Mapping[Ink, tuple[str, float]]] = {
    Ink.BLANK: ("foreground", 1),
    Ink.FRAME: ("foreground", 0.22),
    Ink.FRAME_FOCUS: ("primary", 1),
    Ink.TITLE: ("foreground", 1),
    Ink.LABEL: ("foreground", 0.62),
    Ink.FAINT: ("foreground", 0.32),
    Ink.VALUE: ("foreground", 1),
    Ink.CHANCE: ("foreground", 0.62),
    Ink.BOUND: ("error", 1),
    Ink.CLIP: ("warning", 1),
    Ink.ALERT: ("error", 1),
    Ink.INTERVENTION: ("accent", 1),
    Ink.PHASE: ("success", 1),
    Ink.CHECKPOINT: ("foreground", 0.45),
    Ink.NOTE: ("secondary", 1),
    Ink.CURSOR: ("foreground", 0.8),
}

_ON_DARK: Final = (
    "#101010",
    ("#56B4E9", "#E69F00", "#12B886", "#F0E442", "#CC79A7", "#E8641B", "#3D8FD6", "#B0B0B0"),
    ("#3B1A78", "#5F1A80", "#861F7A", "#AE2E66", "#D24848", "#EE6C25", "#FB9D07", "#FCE36B"),
)
_ON_LIGHT: Final = (
    "#FFFFFF",
    ("#0072B2", "#A86800", "#007A58", "#8A7F00", "#A8457D", "#C24A00", "#2A86C8", "#606060"),
    ("#F7D98B", "#F5B85A", "#F09238", "#E06A2C", "#C2452F", "#9C2B4B", "#6F1C63", "#3B1A5E"),
)
"""The ink on a curve's colour, the curves' colours, and the heat colours from least to most."""


class CellStyles:
    """The styles of the cells of `widget`, each made once until the theme changes."""

    def __init__(self, widget: Widget) -> None:
        self._widget = widget
        self._made: dict[int, Style] = {}
        self._inks: dict[Ink, Style] = {}

    def clear(self) -> None:
        """Make all styles again, as the theme may have changed."""
        self._made.clear()
        self._inks = {}

    def of(self, style: int) -> Style:
        """Return the style of a canvas's cell."""
        if style not in self._made:
            self._made[style] = self._new(ink_of(style), paper_of(style))
        return self._made[style]

    def _new(self, ink: Ink, paper: Ink) -> Style:
        app = self._widget.app
        if not self._inks:
            background = self._widget.background_colors[1]
            self._inks = ink_styles(app.theme_variables, background, dark=app.current_theme.dark)
        known = self._inks[ink]
        if paper == Ink.BLANK or (paper == ink and app.no_color):  # without colour the shade differs
            return known
        behind = self._inks[paper].bgcolor if paper == Ink.CURSOR else self._inks[paper].color
        return known + Style(bgcolor=behind)


def ink_styles(variables: Mapping[str, str], background: Color, *, dark: bool) -> dict[Ink, Style]:
    """Return the style of each ink in the theme with these `variables`, on `background`.

    The cursor's style has its own paper.
    """
    styles = {ink: _style(ink, color, background) for ink, color in _colors(variables, dark=dark)}
    name, alpha = _CURSOR_PAPER
    paper = background + Color.parse(variables[name]).multiply_alpha(alpha)
    styles[Ink.CURSOR] = _style(Ink.CURSOR, Color.parse(variables[name]).multiply_alpha(_THEMED[Ink.CURSOR][1]), paper)
    return styles


def _style(ink: Ink, color: Color, background: Color) -> Style:
    return Style(color=(background + color).rich_color, bgcolor=background.rich_color, bold=ink in _BOLD or None)


def _colors(variables: Mapping[str, str], *, dark: bool) -> Iterator[tuple[Ink, Color]]:
    on_curve, curves, heats = _ON_DARK if dark else _ON_LIGHT
    for ink, (name, alpha) in _THEMED.items():
        yield ink, Color.parse(variables[name]).multiply_alpha(alpha)
    yield Ink.ON_CURVE, Color.parse(on_curve)
    for slot, curve in zip(range(NUM_CURVES), curves, strict=True):
        yield Ink(Ink.CURVE_0 + slot), Color.parse(curve)
        yield Ink(Ink.RAW_0 + slot), Color.parse(curve).multiply_alpha(_RAW_ALPHA)
    for level, heat in zip(range(NUM_HEATS), heats, strict=True):
        yield Ink(Ink.HEAT_0 + level), Color.parse(heat)
