"""Summaries of metric values: what a chart needs to know of any stretch, and how stretches unite."""

from __future__ import annotations

import math
import mmap
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.protocol.record import record

Matrix = NDArray[np.float32]
Slots = NDArray[np.int64]

NAN: Final = 1
INF: Final = 2
"""Flags of a cell: it holds a NaN, an infinity of either sign."""

_ABSENT_BITS: Final = np.uint32(0x7FC0_0ABE)

ABSENT: Final[np.float32] = np.frombuffer(_ABSENT_BITS.tobytes(), np.float32)[0]
"""A quiet NaN with a bit pattern of its own, which means "not recorded" in a matrix of values."""

_UNION: Final = (np.minimum, np.maximum, np.minimum, np.add, np.add, np.bitwise_or)
_NEUTRAL: Final = (np.inf, -np.inf, np.inf, 0.0, 0, 0)
_TYPES: Final = (np.float32, np.float32, np.float32, np.float64, np.int32, np.uint8)


def reserved(shape: tuple[int, ...], kind: type[np.generic]) -> NDArray[Any]:
    """Return an array of zeros whose memory is allocated by small pages when it is written.

    numpy asks for pages of 2 MB, and a few newest rows of a long history would touch one for every metric.
    """
    num_bytes = max(math.prod(shape) * np.dtype(kind).itemsize, 1)
    return np.ndarray(shape, kind, mmap.mmap(-1, num_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


def absent(values: Matrix) -> NDArray[np.bool_]:
    """Mask of the cells without a value."""
    return values.view(np.uint32) == _ABSENT_BITS


@record
class Stats:
    """Cells of any shape, as six arrays of that shape, in this order.

    Least finite value (+inf without one), greatest (-inf), least above 0 (+inf), sum of the finite values,
    their count, and flags.
    """

    arrays: tuple[NDArray[Any], ...]

    @classmethod
    def reserved(cls, shape: tuple[int, ...]) -> Stats:
        """Return cells to be written before they are read."""
        return cls(tuple(reserved(shape, kind) for kind in _TYPES))

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> Stats:
        """Return cells without a value."""
        return cls(tuple(np.full(shape, value, kind) for value, kind in zip(_NEUTRAL, _TYPES, strict=True)))

    @classmethod
    def of_values(cls, values: Matrix) -> Stats:
        """Return a cell for each value."""
        finite = np.isfinite(values)
        with np.errstate(invalid="ignore"):
            positive = np.where(values > 0, values, np.float32(np.inf))
        flags = np.zeros(values.shape, np.uint8)
        if finite.all():
            return cls((values, values, positive, values.astype(np.float64), finite.astype(np.int32), flags))
        flags[np.isinf(values)] = INF
        flags[np.isnan(values) & ~absent(values)] = NAN
        low = np.where(finite, values, np.float32(np.inf))
        high = np.where(finite, values, np.float32(-np.inf))
        total = np.where(finite, values, np.float32(0)).astype(np.float64)
        return cls((low, high, positive, total, finite.astype(np.int32), flags))

    def blocks(self, size: int) -> Stats:
        """Merge every `size` neighbouring cells of the last axis, whose length is a multiple of `size`."""
        shape = (*self.arrays[0].shape[:-1], -1, size)
        return Stats(
            tuple(union.reduce(cells.reshape(shape), -1) for union, cells in zip(_UNION, self.arrays, strict=True))
        )

    def runs(self, starts: Slots) -> Stats:
        """Return the cells of the last axis, merged in runs that begin at `starts`; no run is empty."""
        return Stats(tuple(union.reduceat(cells, starts, -1) for union, cells in zip(_UNION, self.arrays, strict=True)))

    def unite(self, at: Slots | slice, other: Stats) -> None:
        """Take the cells of `other` into the cells `at` of the last axis, no two of them the same."""
        for union, cells, more in zip(_UNION, self.arrays, other.arrays, strict=True):
            cells[..., at] = union(cells[..., at], more)

    def put(self, rows: slice, columns: slice, other: Stats) -> None:
        """Overwrite a rectangle."""
        for cells, fresh in zip(self.arrays, other.arrays, strict=True):
            cells[rows, columns] = fresh

    def clear(self, rows: slice, columns: slice) -> None:
        """Make a rectangle stand for no value."""
        for cells, value in zip(self.arrays, _NEUTRAL, strict=True):
            cells[rows, columns] = value

    def part(self, rows: slice, columns: slice) -> Stats:
        """Return a view of a rectangle."""
        return Stats(tuple(cells[rows, columns] for cells in self.arrays))

    def take(self, rows: Slots, columns: Slots) -> Stats:
        """Return copies of single cells, the same ones of each row."""
        return Stats(tuple(cells[rows[:, None], columns] for cells in self.arrays))
