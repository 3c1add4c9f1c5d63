"""The boxes of COCO annotations, and detection of other box conventions by comparison with the outlines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, cast

from engine.tasks.person.data.readers.coco.values import as_number
from engine.tasks.person.data.readers.pixels import Size
from engine.tasks.person.data.readers.scenes import Box

Four = tuple[float, float, float, float]

AGREES: Final = 0.9
"""Overlap (IoU) from which a box and the bounds of an outline count as equal."""

UPSIDE_DOWN: Final = "mirrored top to bottom"
LEFT_TO_RIGHT: Final = "mirrored left to right"
TURNED: Final = "turned by 180 degrees"

_CLEARLY_BETTER: Final = 0.3
_ROUNDING: Final = 1.5


def corners(values: Four) -> Box:
    """Return (left, top, right, bottom) of COCO's [left, top, width, height]."""
    left, top, width, height = values
    return left, top, left + width, top + height


def _scale(box: Four, size: Size) -> Box:
    return box[0] * size[0], box[1] * size[1], box[2] * size[0], box[3] * size[1]


def _over(box: Four, parts: float) -> Four:
    """Return the box in fractions of the image, given in `parts` of it, such as 100 for percent."""
    return box[0] / parts, box[1] / parts, box[2] / parts, box[3] / parts


def _exchanged(box: Four) -> Four:
    """Return the box with each x and y exchanged."""
    return box[1], box[0], box[3], box[2]


CONVENTIONS: Final[Mapping[str, Callable[[Four, Size], Box]]] = {
    "[left, top, right, bottom]": lambda v, size: v,
    "[centre x, centre y, width, height]": lambda v, size: (
        v[0] - v[2] / 2,
        v[1] - v[3] / 2,
        v[0] + v[2] / 2,
        v[1] + v[3] / 2,
    ),
    "[left, top, height, width]": lambda v, size: (v[0], v[1], v[0] + v[3], v[1] + v[2]),
    "[right, bottom, left, top]": lambda v, size: (v[2], v[3], v[0], v[1]),
    "[top, left, height, width]": lambda v, size: (v[1], v[0], v[1] + v[3], v[0] + v[2]),
    "[top, left, bottom, right]": lambda v, size: (v[1], v[0], v[3], v[2]),
    "[left, right, top, bottom]": lambda v, size: (v[0], v[2], v[1], v[3]),
    "[left, top, width, height] in fractions of the image": lambda v, size: _scale(corners(v), size),
    "[left, top, right, bottom] in fractions of the image": _scale,
    "[centre x, centre y, width, height] in fractions of the image": lambda v, size: _scale(
        (v[0] - v[2] / 2, v[1] - v[3] / 2, v[0] + v[2] / 2, v[1] + v[3] / 2), size
    ),
    "[top, left, bottom, right] in fractions of the image": lambda v, size: _scale(_exchanged(v), size),
    "[left, top, width, height] in percent of the image": lambda v, size: _scale(corners(_over(v, 100)), size),
    "[left, top, right, bottom] in percent of the image": lambda v, size: _scale(_over(v, 100), size),
    "[left, top, right, bottom] in thousandths of the image": lambda v, size: _scale(_over(v, 1000), size),
    "[top, left, bottom, right] in thousandths of the image": lambda v, size: _scale(_over(_exchanged(v), 1000), size),
}
"""Box conventions of other tools, each converted to (left, top, right, bottom)."""

EXCHANGED: Final = frozenset(("[top, left, height, width]", "[top, left, bottom, right]"))
"""Conventions whose boxes match their outlines also if the outlines' x and y are exchanged, and the boxes are right."""


def read_box(bbox: object) -> Four | None:
    """Return the four numbers of a box, also from text; `None` if it is not a box or has no area."""
    values = cast(list[object], bbox) if isinstance(bbox, list) else []
    numbers = tuple(as_number(value) for value in values)
    if len(numbers) != 4 or None in numbers:
        return None
    box = cast(Four, numbers)
    return box if box[2] > 0 and box[3] > 0 else None


def agrees(box: Box, bounds: Box) -> bool:
    """Return whether a box matches the bounds of its outline."""
    return _is_near(box, bounds) or _overlap(box, bounds) >= AGREES


def other_convention(values: Four, bounds: Box, size: Size) -> str:
    """Return the convention in which a box that does not agree matches its outline; an empty string if none does."""
    as_coco = _overlap(corners(values), bounds)
    overlaps = {name: _overlap(read(values, size), bounds) for name, read in CONVENTIONS.items()}
    best = max(overlaps, key=lambda name: overlaps[name])
    is_better = overlaps[best] > as_coco + _CLEARLY_BETTER or is_exact(values, bounds, size, best)
    return best if is_better else ""


def is_exact(values: Four, bounds: Box, size: Size, convention: str) -> bool:
    """Return whether a box in `convention` equals the outline's bounds up to rounding."""
    return _is_near(CONVENTIONS[convention](values, size), bounds)


def mirroring(values: Four, bounds: Box, size: Size) -> str:
    """Return how a box that does not agree is to be mirrored in its image to match its outline, or an empty string.

    Whether the box is wrong or the outline cannot be told from the two.
    """
    (left, top, right, bottom), (width, height) = corners(values), size
    as_coco = _overlap((left, top, right, bottom), bounds)
    upright, reverse = (top, bottom), (height - bottom, height - top)
    forms = {
        UPSIDE_DOWN: (left, reverse[0], right, reverse[1]),
        LEFT_TO_RIGHT: (width - right, upright[0], width - left, upright[1]),
        TURNED: (width - right, reverse[0], width - left, reverse[1]),
    }
    overlaps = {name: _overlap(box, bounds) for name, box in forms.items()}
    best = max(overlaps, key=lambda name: overlaps[name])
    return best if overlaps[best] >= AGREES and overlaps[best] > as_coco + _CLEARLY_BETTER else ""


def cut_box(box: Box, size: Size) -> Box | None:
    """Return the part of the box inside the image, or `None` if it is empty."""
    left, top, right, bottom = max(box[0], 0.0), max(box[1], 0.0), min(box[2], size[0]), min(box[3], size[1])
    return (left, top, right, bottom) if right > left and bottom > top else None


def _is_near(box: Box, bounds: Box) -> bool:
    """Return whether all edges agree up to rounding."""
    return (
        abs(box[0] - bounds[0]) <= _ROUNDING
        and abs(box[1] - bounds[1]) <= _ROUNDING
        and abs(box[2] - bounds[2]) <= _ROUNDING
        and abs(box[3] - bounds[3]) <= _ROUNDING
    )


def _overlap(one: Box, other: Box) -> float:
    """Return the intersection of two boxes divided by their union."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    common = max(width, 0.0) * max(height, 0.0)
    covered = _area(one) + _area(other) - common
    return common / covered if covered > 0 else 0.0


def _area(box: Box) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)
