"""A grid of characters with an ink (foreground) and a paper (background) per cell."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cockpit.charts.inks import Ink
from cockpit.text.format import escape_control
from engine.protocol.record import record

Cells = NDArray[np.uint32]
Styles = NDArray[np.uint16]

SPACE: Final = ord(" ")
_PAPER: Final = 256
_FILLER: Final = "\0"
"""The second cell of a wide character, as in Chinese names; a canvas leaves it out of its text."""


@record
class Area:
    """A rectangle of cells; width and height may be 0."""

    x: int
    y: int
    width: int
    height: int


def in_cells(text: str) -> str:
    """Return foreign text with one character for each cell that it takes on a terminal; control characters escaped."""
    if text.isascii() and text.isprintable():
        return text
    from rich.cells import get_character_cell_size  # noqa: PLC0415 - rarely needed

    characters = unicodedata.normalize("NFC", escape_control(text))
    sized = ((character, get_character_cell_size(character)) for character in characters)
    return "".join(character + _FILLER * (size - 1) for character, size in sized if size)


def first_cells(text: str, count: int) -> str:
    """Return the first `count` cells of a text by `in_cells`; a wide character without room becomes a blank."""
    found = text[: max(count, 0)]
    return f"{found[:-1]} " if found and text[len(found) :].startswith(_FILLER) else found


class Canvas:
    """Y rows of X cells. Text outside is cut off; it neither wraps nor raises."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = max(width, 0), max(height, 0)
        self.text_YX: Cells = np.full((self.height, self.width), SPACE, np.uint32)
        self.style_YX: Styles = np.zeros((self.height, self.width), np.uint16)

    def write(self, x: int, y: int, text: str, ink: Ink) -> int:
        """Put `text` (one cell per character, see `in_cells`) at column `x` of row `y`; return the column after it."""
        end = x + len(text)
        left, right = max(x, 0), min(end, self.width)
        if 0 <= y < self.height and left < right:
            shown = first_cells(text, right - x)[left - x :]
            self._part(y, left)
            self._part(y, right)
            self.text_YX[y, left:right] = np.frombuffer(shown.encode("utf-32-le"), "<u4")
            self.style_YX[y, left:right] = ink
        return end

    def write_pieces(self, x: int, y: int, pieces: Sequence[tuple[str, Ink]], width: int) -> None:
        """Put texts of one ink each in a row from column `x` of row `y` on, at most `width` cells."""
        text = first_cells("".join(piece for piece, _ in pieces), width)
        self.write(x, y, text, Ink.BLANK)
        if 0 <= y < self.height and x >= 0:
            styles = np.repeat([int(ink) for _, ink in pieces], [len(piece) for piece, _ in pieces])
            room = self.style_YX[y, x : x + len(text)]
            room[:] = styles[: room.size]

    def column(self, x: int, y: int, height: int, letter: str, ink: Ink) -> None:
        """Put one character into `height` rows of column `x` from row `y` on."""
        if 0 <= x < self.width:
            self.text_YX[max(y, 0) : y + height, x] = ord(letter)
            self.style_YX[max(y, 0) : y + height, x] = ink

    def cells(self, area: Area) -> tuple[Cells, Styles]:
        """Return views of the text and the style of a rectangle; writing to them changes the canvas."""
        rows, columns = slice(area.y, area.y + area.height), slice(area.x, area.x + area.width)
        return self.text_YX[rows, columns], self.style_YX[rows, columns]

    def runs(self, y: int) -> Iterator[tuple[str, int]]:
        """Yield row `y` as pieces of one style each: text and style (see `ink_of`, `paper_of`)."""
        if not self.width:
            return
        style_X = self.style_YX[y]
        text = self._text(y)
        edges = [0, *(np.flatnonzero(style_X[1:] != style_X[:-1]) + 1).tolist(), self.width]
        styles: list[int] = style_X[edges[:-1]].tolist()
        for number, style in enumerate(styles):
            yield text[edges[number] : edges[number + 1]].replace(_FILLER, ""), style

    def lines(self) -> list[str]:
        """Return the rows as plain text, each exactly as wide as the canvas."""
        return [self._text(y).replace(_FILLER, "") for y in range(self.height)]

    def _part(self, y: int, x: int) -> None:
        """Replace a wide character of which only the half before or behind column `x` will remain."""
        if 0 < x < self.width and self.text_YX[y, x] == ord(_FILLER):
            self.text_YX[y, x - 1 : x + 1] = SPACE

    def _text(self, y: int) -> str:
        return self.text_YX[y].astype("<u4", copy=False).tobytes().decode("utf-32-le")


def on_paper(ink: int, paper: int) -> int:
    """Return the style of a cell with that ink on that paper, both numbers of `Ink`."""
    return ink + _PAPER * paper


def ink_of(style: int) -> Ink:
    """Return the ink of a cell's style."""
    return Ink(style % _PAPER)


def paper_of(style: int) -> Ink:
    """Return the paper of a cell's style; `Ink.BLANK` for none."""
    return Ink(style // _PAPER)
