"""Detect outlines in the pixels of a smaller image, or in percent: none reaches the far parts of its image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from engine.tasks.person.data.readers.pixels import Size
from engine.tasks.person.data.readers.scenes import Box

_LEAST_NUMBER: Final = 5
"""Number of outlines from which their common extent is judged."""

_SMALL: Final = 0.55
"""Share of both sides of the image that many people of photographs exceed."""

_PERCENT: Final = 100.0


@dataclass(slots=True)
class Extent:
    """The farthest right and lower edges of all outlines, in pixels and as shares of their images."""

    num_outlines: int = 0
    right: float = 0.0
    bottom: float = 0.0
    right_share: float = 0.0
    bottom_share: float = 0.0
    least_side: float = float("inf")

    def add(self, bounds: Box, size: Size) -> None:
        """Include an outline of an image of `size`."""
        self.num_outlines += 1
        self.right, self.bottom = max(self.right, bounds[2]), max(self.bottom, bounds[3])
        self.right_share = max(self.right_share, bounds[2] / size[0])
        self.bottom_share = max(self.bottom_share, bounds[3] / size[1])
        self.least_side = min(self.least_side, *size)

    def doubt(self) -> str:
        """Return why the coordinates may be in other units; an empty string if there is no sign of it."""
        if self.num_outlines < _LEAST_NUMBER:
            return ""
        is_in_hundred = max(self.right, self.bottom) <= _PERCENT < self.least_side / 1.1
        if not is_in_hundred and max(self.right_share, self.bottom_share) > _SMALL:
            return ""
        units = "in percent, or " if is_in_hundred else ""
        return (
            f"none of the {self.num_outlines} outlines reaches beyond {100 * self.right_share:.0f} % of the width and "
            f"{100 * self.bottom_share:.0f} % of the height of its image: their coordinates may be {units}"
            "of a smaller image"
        )
