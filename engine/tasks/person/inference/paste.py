"""Paste the predicted classes of a region back into its image, at full resolution."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.protocol.record import record
from engine.tasks.person.data.readers.scenes import Box, Mask


@record
class PastedRegion:
    """Classes of an image's pixels: 0 background, 1 target, 2 other. The first pixel is at `column`, `row`.

    `score` is the mean probability of the target over its pixels, 0 if it has none.
    """

    column: int
    row: int
    classes_HW: NDArray[np.uint8]
    score: float

    @property
    def mask_HW(self) -> Mask:
        """The target's pixels among those of the region."""
        return self.classes_HW == 1

    def trimmed_mask(self) -> tuple[int, int, Mask]:
        """Return column and row of the first pixel of the target's bounding box, and the mask in it."""
        mask_HW = self.mask_HW
        rows, columns = np.flatnonzero(mask_HW.any(axis=1)), np.flatnonzero(mask_HW.any(axis=0))
        if not rows.size:
            return self.column, self.row, mask_HW[:0, :0]
        inner = mask_HW[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        return self.column + int(columns[0]), self.row + int(rows[0]), inner

    def full_mask(self, size: tuple[int, int]) -> Mask:
        """Return the target's mask of a whole image of `size` (width, height)."""
        mask_HW = np.zeros((size[1], size[0]), dtype=np.bool_)
        height, width = self.classes_HW.shape
        mask_HW[self.row : self.row + height, self.column : self.column + width] = self.mask_HW
        return mask_HW


def paste_region(
    probs_3HW: NDArray[np.float32],
    region: Box,
    size: tuple[int, int],
    *,
    within: Box | None = None,
    threshold: float | None = None,
) -> PastedRegion:
    """Return the most likely class of each image pixel whose centre is in `region`, and in `within` if given.

    `probs_3HW` are the network's class probabilities over `region`, and `size` is the image's (width, height). They are
    interpolated linearly; where the image is coarser than the mask, they are averaged as far as a pixel reaches. With a
    `threshold`, a pixel is the target's from that probability on.
    """
    columns, rows = (_pixels(region, within, axis, size[axis]) for axis in (0, 1))
    if not (columns and rows):
        return PastedRegion(columns.start, rows.start, np.zeros((len(rows), len(columns)), dtype=np.uint8), 0.0)
    target_HW, other_HW = _resized(probs_3HW[1:], region, columns, rows)
    background_HW = 1 - target_HW
    background_HW -= other_HW
    if threshold is None:
        is_target_HW = target_HW > background_HW
        is_target_HW &= target_HW >= other_HW
    else:
        is_target_HW = target_HW >= threshold
    classes_HW: NDArray[np.uint8] = (other_HW > background_HW).view(np.uint8)
    classes_HW *= 2
    np.copyto(classes_HW, 1, where=is_target_HW)
    of_target = target_HW[is_target_HW]
    score = float(of_target.mean()) if of_target.size else 0.0
    return PastedRegion(columns.start, rows.start, classes_HW, score)


def _pixels(region: Box, within: Box | None, axis: int, length: int) -> range:
    """Return the pixels along an axis whose centres are in the image and in the boxes."""
    boxes = [region] if within is None else [region, within]
    first = max(0, *(math.ceil(box[axis] - 0.5) for box in boxes))
    last = min(length, *(math.ceil(box[axis + 2] - 0.5) for box in boxes))
    return range(min(first, length), max(last, min(first, length)))


def _resized(probs_CHW: NDArray[np.float32], region: Box, columns: range, rows: range) -> list[NDArray[np.float32]]:
    """Return each class's probabilities at the pixels; beyond the outermost bins they stay as they are there."""
    height, width = probs_CHW.shape[1:]
    to_x, to_y = width / (region[2] - region[0]), height / (region[3] - region[1])
    edge_x, edge_y = math.ceil(to_x) + 1, math.ceil(to_y) + 1
    padded_CHW = probs_CHW.astype(np.float32, copy=False)
    padded_CHW = padded_CHW.take(_repeated(height, edge_y), axis=1).take(_repeated(width, edge_x), axis=2)
    box = (
        (columns.start - region[0]) * to_x + edge_x,
        (rows.start - region[1]) * to_y + edge_y,
        (columns.stop - region[0]) * to_x + edge_x,
        (rows.stop - region[1]) * to_y + edge_y,
    )
    size, filter_ = (len(columns), len(rows)), Image.Resampling.BILINEAR
    return [np.asarray(Image.fromarray(padded_HW).resize(size, filter_, box=box)) for padded_HW in padded_CHW]


def _repeated(length: int, edge: int) -> NDArray[np.intp]:
    """Return the places along an axis, with the first and the last repeated `edge` times: faster than `np.pad`."""
    return np.arange(-edge, length + edge).clip(0, length - 1)
