"""A region while it is augmented: its image and its labels, which change together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(slots=True)
class Patch:
    """RGB in 0..1 at ROI size, and labels at mask size."""

    image_3HW: NDArray[np.float32]
    label_HW: NDArray[np.int64]

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of the image."""
        _, height, width = self.image_3HW.shape
        return height, width

    @property
    def label_sides(self) -> tuple[int, int]:
        """Height and width of the labels."""
        height, width = self.label_HW.shape
        return height, width

    def blend(self, colours_HW3: NDArray[np.uint8], alpha_HW: NDArray[np.float32]) -> None:
        """Lay RGB in 0..255 over the image, each pixel with its weight in 0..1."""
        colours_3HW = colours_HW3.transpose(2, 0, 1) / np.float32(255)
        self.image_3HW += alpha_HW * (colours_3HW - self.image_3HW)

    def at_image_size(self, mask_HW: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return a mask of the labels' size at the image's size: each pixel has the nearest one's value."""
        if self.sides == mask_HW.shape:
            return mask_HW
        rows, columns = (
            ((np.arange(side) + 0.5) * count / side).astype(np.intp)
            for side, count in zip(self.sides, mask_HW.shape, strict=True)
        )
        return mask_HW[rows][:, columns]
