"""A region with masks and heads, as pictures."""

from __future__ import annotations

import numpy as np

from engine.outputs.preview_file import Preview as Region
from engine.tasks.person.previews import region_preview


def region(name: str = "images/1.jpg#1", *, size: int = 64, mask: int = 64, heads: bool = True) -> Region:
    """A target in the upper left quarter, another person in the lower right one; the prediction is shifted."""
    label = np.zeros((mask, mask), np.uint8)
    label[: mask // 2, : mask // 2] = 1
    label[mask // 2 :, mask // 2 :] = 2
    image = np.zeros((size, size, 3), np.uint8)
    image[..., 0] = 200
    head = np.linspace(0, 255, mask * mask).reshape(mask, mask).astype(np.uint8) if heads else None
    predicted = np.roll(label, mask // 8, axis=1)
    return region_preview(name, image, label, predicted, contour_HW=head, distance_HW=head)
