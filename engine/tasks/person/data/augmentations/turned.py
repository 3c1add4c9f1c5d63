"""Rotate a region around its person: the box is fitted to the rotated person, then the region is cut at that angle."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from engine.protocol.record import record
from engine.tasks.person.data.crop import cut_region
from engine.tasks.person.data.labels import painted_classes, person_cover
from engine.tasks.person.data.readers.scenes import Box, PersonMask, Picture
from engine.tasks.person.data.regions import Sides, height_width

_FINER: Final = 2
"""Resolution of the upright cut relative to the rotated region, so that little detail is lost."""

_MARGIN: Final = 0.02
"""Growth of the upright cut on every side, so that no corner of the rotated region falls outside."""


@record
class Turn:
    """A rotation by `angle` (radians) around `centre`, in pixels of the image. Boxes lie in the rotated image."""

    angle: float
    centre: tuple[float, float]

    def box_of(self, person: PersonMask) -> Box:
        """Return the person's box after the rotation: the rotated mask's bounds, with the box's margins around them."""
        points_K2 = self._rotated(_outline(person), self.angle)
        low, high = points_K2.min(axis=0), points_K2.max(axis=0)
        height, width = person.mask_HW.shape
        left, top, right, bottom = person.box
        return (
            float(low[0] + left - person.column),
            float(low[1] + top - person.row),
            float(high[0] + right - person.column - width),
            float(high[1] + bottom - person.row - height),
        )

    def image(self, picture: Picture, region: Box, sides: Sides) -> Tensor:
        """Return RGB (3, H, W) in 0..1 of a region of the rotated image. Border pixels are repeated outside."""
        footprint = self._footprint(region)
        upright = cut_region(picture.image, footprint, _finer(sides))
        cut = self._cut(upright, footprint, region, sides, Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(cut)).permute(2, 0, 1).contiguous().float().div_(255)

    def label(self, picture: Picture, target: int, region: Box, sides: Sides) -> NDArray[np.int64]:
        """Return labels (H, W) of a region of the rotated image: 0 background, 1 target, 2 other.

        Each has the class of the image's pixel in its middle, which costs a tenth of the majority over its area.
        """
        classes_HW, (column, row) = painted_classes(picture, target, self._footprint(region))
        if classes_HW.size == 0:
            return np.zeros(height_width(sides), dtype=np.int64)
        height, width = classes_HW.shape
        frame = (float(column), float(row), float(column + width), float(row + height))
        cut = self._cut(Image.fromarray(classes_HW), frame, region, sides, Image.Resampling.NEAREST)
        return np.array(cut).astype(np.int64)

    def cover(self, picture: Picture, target: int, region: Box, sides: Sides) -> NDArray[np.float32]:
        """Return the share of each pixel (H, W) of a region of the rotated image that the person covers, 0..1."""
        footprint = self._footprint(region)
        upright = Image.fromarray(person_cover(picture, target, footprint, _finer(sides)))
        return np.array(self._cut(upright, footprint, region, sides, Image.Resampling.BILINEAR))

    def _cut(
        self, upright: Image.Image, frame: Box, region: Box, sides: Sides, resampling: Image.Resampling
    ) -> Image.Image:
        """Return the region, read from an upright view of `frame`; zero where the frame ends."""
        left, top, right, bottom = frame
        corners_32 = np.array([region[:2], (region[2], region[1]), (region[0], region[3])])
        at_32 = self._rotated(corners_32, -self.angle) - (left, top)
        at_32 *= (upright.width / (right - left), upright.height / (bottom - top))
        height, width = height_width(sides)
        (a, b), (c, d) = ((at_32[1:] - at_32[0]) / ((width,), (height,))).T
        matrix = (float(a), float(b), float(at_32[0, 0]), float(c), float(d), float(at_32[0, 1]))
        return upright.transform((width, height), Image.Transform.AFFINE, matrix, resampling)

    def _footprint(self, region: Box) -> Box:
        """Return the bounds of the region in the image as it is, slightly grown."""
        left, top, right, bottom = region
        corners_42 = np.array([(left, top), (right, top), (left, bottom), (right, bottom)])
        at_42 = self._rotated(corners_42, -self.angle)
        low, high = at_42.min(axis=0), at_42.max(axis=0)
        margin = (high - low) * _MARGIN
        low, high = low - margin, high + margin
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    def _rotated(self, points_K2: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
        cosine, sine = math.cos(angle), math.sin(angle)
        return (points_K2 - self.centre) @ np.array([(cosine, sine), (-sine, cosine)]) + self.centre


def _finer(sides: Sides) -> Sides:
    """Return the sides of the upright cut of a region."""
    height, width = height_width(sides)
    return _FINER * height, _FINER * width


def turn_of(box: Box, angle: float) -> Turn:
    """Return the rotation by `angle` (radians) around the middle of a box."""
    return Turn(angle, ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2))


def _outline(person: PersonMask) -> NDArray[np.float64]:
    """Return the corners of the first and last pixel of each row of the mask, in pixels of the image: (K, 2)."""
    mask_HW = person.mask_HW
    rows = np.flatnonzero(mask_HW.any(axis=1))
    first = mask_HW[rows].argmax(axis=1)
    last = mask_HW.shape[1] - mask_HW[rows, ::-1].argmax(axis=1)
    columns, lines = np.concatenate([first, first, last, last]), np.concatenate([rows, rows + 1, rows, rows + 1])
    return np.stack([columns + person.column, lines + person.row], axis=1).astype(np.float64)
