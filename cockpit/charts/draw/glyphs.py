"""The characters of charts: braille, block elements, or ASCII alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from cockpit.charts.draw.canvas import Cells, first_cells
from engine.protocol.record import record

Marker = Literal["braille", "block", "ascii"]


@record
class Frame:
    """A box, an axis and its ticks: corners clockwise from the upper left, then lines and their crossings."""

    corners: str
    across: str
    down: str
    corner: str
    tick_x: str
    tick_y: str


@record
class ChartSigns:
    """Single characters with a meaning, unique among those in the same place, and no letters of curves."""

    above: str
    below: str
    nan: str
    inf: str
    nan_and_inf: str
    rug: str
    point: str
    cursor: str
    dash: str
    intervention: str
    phase: str
    rollback: str
    checkpoint: str
    alert: str
    note: str
    lines: str
    """The vertical lines of a marker in order: strong, light, sparse."""


@record
class Glyphs:
    """A marker set. A cell holds `across` x `down` dots; `table` maps the sum of their `weights` to a character."""

    name: Marker
    across: int
    down: int
    weights: NDArray[np.uint8]
    table: Cells
    frame: Frame
    signs: ChartSigns
    shades: str
    """Five fills from empty to full."""
    eighths: str
    """Fills of a cell from below, evenly spaced, the last one full."""
    fills: str
    """Solid fills that differ without colour, one per curve."""
    dots: str
    """The end of a text that was cut."""

    def cut(self, text: str, width: int) -> str:
        """Return a text in at most `width` characters, with dots in place of what does not fit."""
        if len(text) <= width:
            return text
        return first_cells(first_cells(text, width - len(self.dots)) + self.dots, width)


_BOX: Final = Frame("╭╮╯╰", "─", "│", "╰", "┴", "┤")
_SIGNS: Final = ChartSigns(
    above="▲",
    below="▼",
    nan="\N{MULTIPLICATION SIGN}",
    inf="∞",
    nan_and_inf="※",
    rug="▾",
    point="●",
    cursor="│",
    dash="╌",
    intervention="◆",
    phase="▶",
    rollback="◀",
    checkpoint="▪",
    alert="!",
    note="◇",
    lines="┃┊·",
)
BRAILLE: Final = Glyphs(
    name="braille",
    across=2,
    down=4,
    weights=np.array([[1, 8], [2, 16], [4, 32], [64, 128]], np.uint8),
    table=np.array([32, *range(0x2801, 0x2900)], np.uint32),
    frame=_BOX,
    signs=_SIGNS,
    shades=" ░▒▓█",
    eighths="▁▂▃▄▅▆▇█",
    fills="█" * 8,
    dots="…",
)
BLOCK: Final = replace(
    BRAILLE,
    name="block",
    down=2,
    weights=np.array([[1, 2], [4, 8]], np.uint8),
    table=np.array([ord(glyph) for glyph in " ▘▝▀▖▌▞▛▗▚▐▜▄▙▟█"], np.uint32),
)
ASCII: Final = Glyphs(
    name="ascii",
    across=1,
    down=3,
    weights=np.array([[1], [2], [4]], np.uint8),
    table=np.array([ord(glyph) for glyph in " '-|.:||"], np.uint32),
    frame=Frame("++++", "-", "|", "+", "+", "+"),
    signs=ChartSigns(
        above="^",
        below="v",
        nan="x",
        inf="8",
        nan_and_inf="%",
        rug="_",
        point="o",
        cursor="|",
        dash="~",
        intervention="*",
        phase=">",
        rollback="<",
        checkpoint="=",
        alert="!",
        note='"',
        lines=";,`",
    ),
    shades=" .:*#",
    eighths="#",
    fills="#=+:*-.%",
    dots="...",
)
MARKERS: Final[dict[Marker, Glyphs]] = {"braille": BRAILLE, "block": BLOCK, "ascii": ASCII}
