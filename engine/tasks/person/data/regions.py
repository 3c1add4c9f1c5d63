"""Compute regions of interest from people's boxes. Boxes may extend beyond the image."""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np

from engine.tasks.person.data.readers.scenes import Box

Sides: TypeAlias = int | tuple[int, int]
"""Height and width in pixels, or the side of a square."""

MIN_SIDE: Final = 2.0
"""Minimum side of a region in pixels."""


def pad_box(box: Box, fraction: float) -> Box:
    """Return the box grown on every edge by `fraction` of its side."""
    return _move_edges(box, np.array([-fraction, -fraction, fraction, fraction]))


def jitter_box(box: Box, amount: float, rng: np.random.Generator) -> Box:
    """Return the box with every edge moved by up to `amount` of its side, like a detector's errors."""
    return _move_edges(box, rng.uniform(-amount, amount, size=4))


def height_width(sides: Sides) -> tuple[int, int]:
    """Return height and width."""
    return (sides, sides) if isinstance(sides, int) else sides


def widened_box(box: Box, sides: Sides = 1) -> Box:
    """Return the smallest box of the shape of `sides` around the box, with the same centre.

    Its crop to those sides keeps the aspect ratio.
    """
    left, top, right, bottom = box
    height, width = height_width(sides)
    half_height = max(bottom - top, (right - left) * height / width) / 2
    half_width = half_height * width / height
    x, y = (left + right) / 2, (top + bottom) / 2
    return x - half_width, y - half_height, x + half_width, y + half_height


def _move_edges(box: Box, shares: np.ndarray) -> Box:
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    left, right = _apart(left + shares[0] * width, right + shares[2] * width)
    top, bottom = _apart(top + shares[1] * height, bottom + shares[3] * height)
    return left, top, right, bottom


def _apart(low: float, high: float) -> tuple[float, float]:
    """Return two opposite edges, moved apart around their middle to the minimum side."""
    middle, half = (low + high) / 2, max((high - low) / 2, MIN_SIDE / 2)
    return float(middle - half), float(middle + half)
