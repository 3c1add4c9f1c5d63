"""Pages of charts: how many fit into an area, and which charts are on a page. Pure functions."""

from __future__ import annotations

from typing import Final

from engine.protocol.record import record

_MAX_SHOWN: Final = 6
_THREE_FROM, _TWO_FROM = 180, 72
"""Widths in cells from which charts are laid out in three and in two columns."""
_MIN_HEIGHT: Final = 12


@record
class Shape:
    """Columns and rows of charts, at least one of each."""

    columns: int
    rows: int

    @property
    def size(self) -> int:
        """Return how many charts a page has."""
        return self.columns * self.rows


def shape_for(width: int, height: int) -> Shape:
    """Return the grid for an area: up to six charts, each wide and high enough for labels and curve."""
    columns = 3 if width >= _THREE_FROM else (2 if width >= _TWO_FROM else 1)
    rows = max(min(height // _MIN_HEIGHT, _MAX_SHOWN // columns), 1)
    return Shape(columns, rows)


def page_of(index: int, count: int, size: int) -> range:
    """Return the charts of `count` on the page that holds chart `index`."""
    first = index // size * size
    return range(first, min(first + size, count))
