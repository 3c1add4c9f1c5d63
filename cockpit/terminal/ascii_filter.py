"""A filter that shows the screen in ASCII, for terminals whose font lacks boxes and signs."""

from __future__ import annotations

from typing import Final

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

_ACROSS: Final = "─━┄┅┈┉╌╍═╴╶╸╺╼╾"
_DOWN: Final = "│┃┆┇┊┋╎╏║╵╷╹╻╽╿"
_SIGNS: Final = {
    "🔎": "/ ",
    "✓": "+",
    "✗": "x",
    "\N{MULTIPLICATION SIGN}": "x",
    "…": ".",
    "·": ".",
    "●": "*",
    "○": "o",
    "•": "*",
    "▲": "^",
    "▼": "v",
    "▶": ">",
    "◀": "<",
    "↑": "^",
    "↓": "v",
    "←": "<",
    "→": ">",
    "‖": "|",
    "■": "#",
    "\N{EN DASH}": "-",
    "—": "-",
    "▔": "-",
    "▁": "_",
    "▏": "|",
    "▎": "|",
    "▌": "|",
    "▐": "|",
    "▕": "|",
    "░": ".",
    "▒": ":",
}
_TABLE: Final = str.maketrans(
    dict.fromkeys(map(chr, range(0x2500, 0x2580)), "+")
    | dict.fromkeys(map(chr, range(0x2580, 0x25A0)), "#")
    | dict.fromkeys(_ACROSS, "-")
    | dict.fromkeys(_DOWN, "|")
    | _SIGNS
)
"""The table keeps the number of cells. Letters of any alphabet are unchanged, as names and notes contain them."""


class AsciiFilter(LineFilter):
    """Replaces boxes, blocks and signs by ASCII characters on the whole screen."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Return the segments with replaced characters."""
        if all(segment.text.isascii() for segment in segments):
            return segments
        return [
            segment if segment.text.isascii() else Segment(segment.text.translate(_TABLE), segment.style)
            for segment in segments
        ]
