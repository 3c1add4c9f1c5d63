"""The outlines of COCO annotations, polygons and run lengths: checked here, drawn by pycocotools.

pycocotools trusts its input: far-off coordinates and run lengths that do not add up make it read and write memory that
is not its own. What passes `parse_outline` is safe to draw.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as _coco_mask

from engine.data.pixels import Size
from engine.data.rejections import UnusableSample
from engine.data.scenes import Box, Mask

Polygon = NDArray[np.float64]

coco_mask: Any = _coco_mask  # its stubs forbid what it documents


@dataclass(frozen=True, slots=True)
class Outline:
    """A person's outline: closed polygons of x, y pairs (pixels), or COCO's compressed run lengths (column-major)."""

    polygons: tuple[Polygon, ...] = ()
    run_lengths: bytes = b""


def parse_outline(segmentation: object, size: Size) -> Outline:
    """The outline of an annotation on an image of `size` (width, height).

    Polygons without area are left out. Raises UnusableSample when nothing is left, or the run lengths are malformed.
    """
    if isinstance(segmentation, dict):
        return _parse_run_lengths(cast(Mapping[str, object], segmentation), size)
    if not isinstance(segmentation, list) or not segmentation:
        raise UnusableSample("has no outline")
    polygons = tuple(p for part in cast(list[object], segmentation) if (p := _parse_polygon(part, size)) is not None)
    if not polygons:
        raise UnusableSample("has an outline without area")
    return Outline(polygons)


def outline_bounds(outline: Outline, size: Size) -> Box:
    """The box around an outline in pixels, not cut to the image."""
    if outline.polygons:
        points_P2 = np.concatenate(outline.polygons).reshape(-1, 2)
        (left, top), (right, bottom) = points_P2.min(axis=0), points_P2.max(axis=0)
        return float(left), float(top), float(right), float(bottom)
    left, top, width, height = (float(value) for value in coco_mask.toBbox(_rle(outline, size)))
    return left, top, left + width, top + height


def draw_outline(outline: Outline, size: Size) -> Mask:
    """The outline filled: booleans (H, W)."""
    return coco_mask.decode(_rle(outline, size)).astype(np.bool_)


def _rle(outline: Outline, size: Size) -> Any:
    """pycocotools' own run-length object, which its stubs do not describe."""
    width, height = size
    if outline.polygons:
        return coco_mask.merge(coco_mask.frPyObjects([polygon.tolist() for polygon in outline.polygons], height, width))
    return {"size": [height, width], "counts": outline.run_lengths}


def _parse_polygon(part: object, size: Size) -> Polygon | None:
    """The polygon with far-off corners pulled to one image size beside the image, or None where it has no area."""
    if not isinstance(part, list) or len(cast(list[object], part)) < 6 or len(cast(list[object], part)) % 2:
        return None
    try:
        numbers = np.array(part, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    if numbers.ndim != 1 or not np.isfinite(numbers).all():
        return None
    limits = np.array(size, dtype=np.float64)
    points_P2 = np.clip(numbers.reshape(-1, 2), -limits, 2 * limits)
    x, y = points_P2.T
    twice_area = float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))
    return points_P2.reshape(-1) if abs(twice_area) > 1e-6 else None


def _parse_run_lengths(segmentation: Mapping[str, object], size: Size) -> Outline:
    width, height = size
    if segmentation.get("size") != [height, width]:
        raise UnusableSample(f"has run lengths for size {segmentation.get('size')}, the image is {[height, width]}")
    counts = segmentation.get("counts")
    packed = counts.encode("ascii", "replace") if isinstance(counts, str) else b""
    runs = cast(list[object], counts) if isinstance(counts, list) else _unpack(packed)
    if not all(isinstance(run, int) and run >= 0 for run in runs) or sum(cast(list[int], runs)) != height * width:
        raise UnusableSample("has run lengths that do not add up to the image")
    if isinstance(counts, list):
        packed = coco_mask.frPyObjects({"size": [height, width], "counts": runs}, height, width)["counts"]
    return Outline(run_lengths=packed)


def _unpack(packed: bytes) -> list[int]:
    """Run lengths from COCO's text form: 5 bits a character, from 48 up; from the third on, added to the one before
    the last. Malformed text gives an empty list."""
    runs: list[int] = []
    value = shift = 0
    for character in packed:
        bits = character - 48
        if not 0 <= bits < 64:
            return []
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    return [] if shift else runs
