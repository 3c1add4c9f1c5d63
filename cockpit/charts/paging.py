"""How many charts stand side by side in an area, and which of them a page shows. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_MAX_SHOWN: Final = 6
_THREE_FROM, _TWO_FROM = 180, 72
"""Widths in cells from which charts stand in three and in two columns."""
_MIN_HEIGHT: Final = 12


@dataclass(frozen=True, slots=True)
class Shape:
    """Columns and rows of charts, at least one of each."""

    columns: int
    rows: int

    @property
    def size(self) -> int:
        """How many charts a page has."""
        return self.columns * self.rows


def shape_for(width: int, height: int) -> Shape:
    """Up to six charts, each wide enough for its labels and high enough for its curve."""
    columns = 3 if width >= _THREE_FROM else (2 if width >= _TWO_FROM else 1)
    rows = max(min(height // _MIN_HEIGHT, _MAX_SHOWN // columns), 1)
    return Shape(columns, rows)


def page_of(index: int, count: int, size: int) -> range:
    """The charts of `count` on the page that holds chart `index`."""
    first = index // size * size
    return range(first, min(first + size, count))
