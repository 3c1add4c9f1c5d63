"""Pictures drawn with half blocks, two pixels per cell, or with letters without colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from cockpit.ui.panels.preview.layers import Layer, scaled
from engine.protocol.record import record

MIN_COLUMNS: Final = 16
"""Pictures of fewer columns are drawn only if no picture can have as many."""
_MIN_STRIP_COLUMNS: Final = 12
"""The same for the pictures of a strip."""
_GAP: Final = 2
_NEAR: Final = 0.5
"""Grids of at least this share of the largest picture area count as large; of them, the most pictures win."""


@record
class Grid:
    """Layout of pictures: columns and rows of pictures, and the cells of each picture without its title."""

    across: int
    down: int
    width: int
    height: int

    def num_shown(self, count: int) -> int:
        """Return how many of `count` pictures the grid has room for."""
        return min(self.across * self.down, count)

    def area(self, count: int) -> int:
        """Return the cells that are covered if there are `count` pictures."""
        return self.num_shown(count) * self.width * self.height


def grid_for(count: int, width: int, height: int, aspect: float) -> Grid:
    """Return the grid that uses `width` x `height` cells best for up to `count` pictures.

    Of the grids near the largest picture area, the one with the most pictures is taken, then the largest.
    `aspect` is a picture's height divided by its width in pixels; a cell is two pixels high.
    """
    layouts = ((shown, down) for shown in range(1, count + 1) for down in range(1, shown + 1))
    grids = [grid for layout in layouts if (grid := _grid(*layout, width, height, aspect)).width > 0]
    grids = [grid for grid in grids if grid.width >= MIN_COLUMNS] or grids or [Grid(1, 1, 1, 1)]
    least = _NEAR * max(grid.area(count) for grid in grids)
    large = (grid for grid in grids if grid.area(count) >= least)
    return max(large, key=lambda grid: (grid.num_shown(count), grid.area(count)))


def strip_grid(count: int, width: int, height: int, aspect: float) -> Grid:
    """Return the grid with the largest pictures that shows all of `count`, or else the one with the most pictures."""
    room = {down: int(2 * (height // down - 1) / aspect) for down in range(1, max(height, 1) + 1)}

    def grid(across: int, down: int, columns: int) -> Grid:
        return Grid(max(across, 1), down, max(columns, 1), max(round(columns * aspect / 2), 1))

    whole = [(down, -(-count // down)) for down in room]
    all_shown = [
        grid(across, down, min(room[down], (width + _GAP) // across - _GAP)) for down, across in whole if across
    ]
    large = [found for found in all_shown if found.width >= _MIN_STRIP_COLUMNS]
    if large:
        return max(large, key=lambda found: found.width)
    small = {down: min(columns, width, _MIN_STRIP_COLUMNS) for down, columns in room.items()}
    usable = [down for down in room if small[down] >= _MIN_STRIP_COLUMNS] or [1]
    down = max(usable)
    return grid((width + _GAP) // (max(small[down], 1) + _GAP), down, small[down])


def shown_in(grid: Grid, layers: Sequence[Layer], *, strip: bool) -> Sequence[Layer]:
    """Return the layers that the grid has room for: of a strip some from beginning to end, else the first ones."""
    room = grid.num_shown(len(layers))
    if not strip or room == len(layers):
        return layers[:room]
    if room == 1:
        return layers[-2:][:1]
    taken = np.linspace(0, len(layers) - 2, room - 1).round().astype(int).tolist()
    return [*(layers[at] for at in taken), layers[-1]]


def captions(grid: Grid, layers: Sequence[Layer], shown: Sequence[Layer], dots: str) -> list[str]:
    """Return the names of the shown layers in the width of their pictures; the last one counts those without room."""
    hidden = len(layers) - len(shown)
    counts = [""] * (len(shown) - 1) + [f" +{hidden}" if hidden else ""]
    return [_cut(layer.name, grid.width - len(count), dots) + count for layer, count in zip(shown, counts, strict=True)]


def _cut(text: str, width: int, dots: str) -> str:
    return text if len(text) <= width else (text[: max(width - 1, 0)] + dots)[: max(width, 0)]


def _grid(count: int, down: int, width: int, height: int, aspect: float) -> Grid:
    """Return the grid of `count` pictures in `down` rows; its width is 0 or less if there is no room."""
    across = -(-count // down)
    lines = height // down - 1
    columns = min((width + _GAP) // across - _GAP, int(2 * lines / aspect))
    return Grid(across, down, columns, max(round(columns * aspect / 2), 1))


class Pictures(Widget):
    """Layers next to each other, as many as fit, each under its name; the last name counts the others."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    Pictures {
        height: 1fr;
        background: transparent;
    }
    """

    def __init__(self, *, letters: bool = False, id: str | None = None) -> None:
        super().__init__(id=id)
        self._letters = letters
        self._layers: Sequence[Layer] = ()
        self._is_strip = False
        self._drawn: tuple[tuple[int, int, int], list[Strip]] | None = None
        self._version = 0

    def show(self, layers: Sequence[Layer], *, strip: bool = False) -> None:
        """Draw these layers; of a strip that does not fit, some from its beginning to its end."""
        self._layers, self._is_strip = layers, strip
        self._version += 1
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return row `y` of the drawing, which is drawn again for another size or other layers."""
        key = (self._version, self.size.width, self.size.height)
        if self._drawn is None or self._drawn[0] != key:
            self._drawn = key, self._draw(*self.size)
        rows = self._drawn[1]
        width = self.size.width
        return (rows[y] if y < len(rows) else Strip.blank(width, self.rich_style)).adjust_cell_length(
            width, self.rich_style
        )

    def _draw(self, width: int, height: int) -> list[Strip]:
        if not self._layers or not width or not height:
            return []
        pixels = self._layers[0].picture_HWC.shape
        layout = strip_grid if self._is_strip else grid_for
        grid = layout(len(self._layers), width, height, pixels[0] / pixels[1])
        shown = shown_in(grid, self._layers, strip=self._is_strip)
        names = captions(grid, self._layers, shown, "." if self._letters else "…")
        rows: list[Strip] = []
        for start in range(0, len(shown), grid.across):
            band = shown[start : start + grid.across]
            titles = "".join(f"{name:<{grid.width + _GAP}}" for name in names[start : start + grid.across])
            rows.append(Strip([Segment(titles[:width], self.rich_style)]))
            drawn = [self._picture(layer, grid) for layer in band]
            gap = Segment(" " * _GAP, self.rich_style)
            for line in zip(*drawn, strict=True):
                rows.append(Strip([segment for cells in line for segment in (*cells, gap)]))
        return rows

    def _picture(self, layer: Layer, grid: Grid) -> list[list[Segment]]:
        if self._letters:
            letters = nearest_letters(layer.letters_HW, grid.height, grid.width)
            return [[Segment(line, self.rich_style)] for line in letters]
        return half_blocks(scaled(layer.picture_HWC, (2 * grid.height, grid.width)))


def nearest_letters(letters_HW: NDArray[np.str_], height: int, width: int) -> list[str]:
    """Return one letter per cell, that of the pixel at its middle."""
    rows = ((np.arange(height) + 0.5) * letters_HW.shape[0] / height).astype(np.intp)
    columns = ((np.arange(width) + 0.5) * letters_HW.shape[1] / width).astype(np.intp)
    return ["".join(line) for line in letters_HW[rows[:, None], columns]]


def half_blocks(picture_HWC: NDArray[np.uint8]) -> list[list[Segment]]:
    """Return lines of cells for a picture of an even number of rows; equal neighbours share a segment."""
    lines: list[list[Segment]] = []
    for upper, lower in zip(picture_HWC[::2], picture_HWC[1::2], strict=True):
        pairs = np.concatenate([upper, lower], axis=1)
        (starts,) = np.nonzero(np.r_[True, (pairs[1:] != pairs[:-1]).any(axis=1)])
        ends = np.r_[starts[1:], len(pairs)]
        lines.append([_cell(pairs[start], int(end - start)) for start, end in zip(starts, ends, strict=True)])
    return lines


def _cell(pair: NDArray[np.uint8], count: int) -> Segment:
    red, green, blue, *lower = (int(value) for value in pair)
    return Segment("▀" * count, Style(color=Color.from_rgb(red, green, blue), bgcolor=Color.from_rgb(*lower)))
