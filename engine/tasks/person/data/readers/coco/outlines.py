"""The outlines of COCO annotations, polygons and run lengths: checked here, drawn by pycocotools.

pycocotools does not check its input: huge coordinates and inconsistent run lengths make it access foreign memory. The
results of `parse_outline` are safe to draw.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import mul
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as _coco_mask

from engine.protocol.record import record
from engine.task import UnusableSample
from engine.tasks.person.data.readers.coco.outline_forms import count_forms, polygon_lists, run_length_parts, unquote
from engine.tasks.person.data.readers.coco.values import as_integer, shown
from engine.tasks.person.data.readers.pixels import Size
from engine.tasks.person.data.readers.scenes import Box, Mask

Polygon = NDArray[np.float64]

coco_mask: Any = _coco_mask  # the stubs reject documented calls

_NO_AREA: Final = 1e-6
_MAX_SHIFT: Final = 60
"""Maximum bits of a run length. Longer text is malformed, and numbers of millions of bits take minutes."""


@record
class Outline:
    """A person's outline: closed polygons of x, y pairs (pixels), or COCO's compressed run lengths (column-major).

    `num_unread` parts are not pairs of numbers and are left out.
    """

    polygons: tuple[Polygon, ...] = ()
    run_lengths: bytes = b""
    num_unread: int = 0


def parse_outline(segmentation: object, size: Size) -> Outline:
    """Return the outline of an annotation in any supported form, on an image of `size` (width, height).

    Polygons without area are left out. Raises UnusableSample if nothing is left or the run lengths are malformed.
    """
    segmentation = unquote(segmentation)
    if (parts := run_length_parts(segmentation)) is not None:
        return Outline(run_lengths=_join([_parse_run_lengths(part, size) for part in parts]))
    if isinstance(segmentation, dict):
        raise UnusableSample("has an outline that is neither polygons nor run lengths with counts and size")
    if isinstance(segmentation, str) and segmentation.strip():
        raise UnusableSample(f"has no outline, but the text {shown(segmentation)}")
    if not isinstance(segmentation, list) or not segmentation:
        raise UnusableSample("has no outline")
    return polygon_outline(polygon_lists(cast(list[object], segmentation)), size)[0]


def polygon_outline(polygons: Iterable[Sequence[float] | None], size: Size) -> tuple[Outline, Box]:
    """Return the outline of polygons (flat lists of x and y) and its bounds. `None` is an unreadable polygon.

    Raises UnusableSample if no polygon has an area.
    """
    kept: list[Polygon] = []
    bounds: Box | None = None
    num_unread = 0
    for part in polygons:
        if part is None or len(part) % 2:
            num_unread += 1
            continue
        found = _parse_polygon(part, size)
        if found is not None:
            kept.append(found[0])
            bounds = found[1] if bounds is None else _around(bounds, found[1])
    if bounds is None and num_unread:
        raise UnusableSample("has an outline without area: it is not pairs of numbers")
    if bounds is None:
        raise UnusableSample("has an outline without area")
    return Outline(tuple(kept), num_unread=num_unread), bounds


def outline_bounds(outline: Outline, size: Size) -> Box:
    """Return the box around an outline in pixels, not clipped to the image."""
    if not outline.polygons:
        left, top, width, height = (float(value) for value in coco_mask.toBbox(_rle(outline, size)))
        return left, top, left + width, top + height
    points = [polygon.tolist() for polygon in outline.polygons]
    xs, ys = [part[0::2] for part in points], [part[1::2] for part in points]
    return min(map(min, xs)), min(map(min, ys)), max(map(max, xs)), max(map(max, ys))


def draw_outline(outline: Outline, size: Size) -> Mask:
    """Return the filled outline: booleans (H, W)."""
    return coco_mask.decode(_rle(outline, size)).astype(np.bool_)


def _rle(outline: Outline, size: Size) -> Any:
    """Return pycocotools' own run-length object, which its stubs do not describe."""
    width, height = size
    if outline.polygons:
        return coco_mask.merge(coco_mask.frPyObjects([polygon.tolist() for polygon in outline.polygons], height, width))
    return {"size": [height, width], "counts": outline.run_lengths}


def _parse_polygon(part: Sequence[float], size: Size) -> tuple[Polygon, Box] | None:
    """Return the polygon and its bounds, or `None` without area.

    Corners are clipped to one image size around the image.
    """
    if len(part) < 6:
        return None
    width, height = size
    xs, ys = part[0::2], part[1::2]
    left, top, right, bottom = min(xs), min(ys), max(xs), max(ys)
    if left < -width or top < -height or right > 2 * width or bottom > 2 * height:
        limits = np.array(size, dtype=np.float64)
        return _parse_polygon(np.clip(np.reshape(part, (-1, 2)), -limits, 2 * limits).reshape(-1).tolist(), size)
    twice_area = sum(map(mul, xs, (*ys[1:], ys[0]))) - sum(map(mul, ys, (*xs[1:], xs[0])))
    if abs(twice_area) <= _NO_AREA and _is_line(xs, ys):
        return None
    return np.array(part, dtype=np.float64), (left, top, right, bottom)


def _is_line(xs: Sequence[float], ys: Sequence[float]) -> bool:
    """Return whether all corners are on one line. The halves of a crossed polygon may have opposite areas."""
    corners = list(zip(xs, ys, strict=True))
    x0, y0 = corners[0]
    x1, y1 = max(corners, key=lambda corner: abs(corner[0] - x0) + abs(corner[1] - y0))
    return all(abs((x - x0) * (y1 - y0) - (y - y0) * (x1 - x0)) <= _NO_AREA for x, y in corners)


def _around(one: Box, other: Box) -> Box:
    """Return the smallest box around both."""
    return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])


def _parse_run_lengths(segmentation: Mapping[str, object], size: Size) -> Any:
    """Return pycocotools' run-length object, checked. Raises UnusableSample for inconsistent run lengths."""
    width, height = size
    given = unquote(segmentation.get("size"))
    sides = [as_integer(side) for side in cast(list[object], given)] if isinstance(given, list) else None
    if sides != [height, width]:
        raise UnusableSample(f"has run lengths for size {shown(given)}, the image is {[height, width]}")
    for counts in count_forms(segmentation.get("counts")):
        runs = counts if isinstance(counts, list) else _unpack(counts)
        if any(run < 0 for run in runs) or sum(runs) != height * width:
            continue
        if isinstance(counts, list):
            return coco_mask.frPyObjects({"size": [height, width], "counts": runs}, height, width)
        return {"size": [height, width], "counts": counts}
    raise UnusableSample("has run lengths that do not add up to the image")


def _join(parts: list[Any]) -> bytes:
    """Return the compressed run lengths of the union of all parts."""
    return parts[0]["counts"] if len(parts) == 1 else coco_mask.merge(parts)["counts"]


def _unpack(packed: bytes) -> list[int]:
    """Return run lengths from COCO's text form; an empty list if the text is malformed.

    Each character holds 5 bits, from 48 up. From the third on, a value is added to the last but one.
    """
    runs: list[int] = []
    value = shift = 0
    for character in packed:
        bits = character - 48
        if not 0 <= bits < 64 or shift > _MAX_SHIFT:
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
