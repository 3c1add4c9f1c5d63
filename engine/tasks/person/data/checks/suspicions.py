"""Tests for annotations of a single picture or person that seem to mean something else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from scipy.ndimage import label

from engine.protocol.record import record
from engine.tasks.person.data.readers.masks.facts import IdFacts, facts_of
from engine.tasks.person.data.readers.scenes import Box, PersonMask, Picture

MIN_SIDE: Final = 8
"""Minimum side in pixels of a person that is tested."""

_MANY_PARTS: Final = 5

_BRIGHTEST_OF_12_BITS: Final = 16
"""Largest of 12 bits (4095), read as 16 bits and scaled to 8."""


@record
class Suspicion:
    """A test: its message about `of` (people or images), the share that triggers it, and the search for examples."""

    says: str
    of: str
    share: float
    find: Callable[[Picture], Iterator[str]]


def bounds(person: PersonMask) -> Box:
    """Return the box around a person's pixels."""
    height, width = person.mask_HW.shape
    return float(person.column), float(person.row), float(person.column + width), float(person.row + height)


def overlap(one: Box, other: Box) -> float:
    """Return the intersection of two boxes divided by their union."""
    common = _area((max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])))
    covered = _area(one) + _area(other) - common
    return common / covered if covered > 0 else 0.0


def sizeable(picture: Picture) -> Iterator[PersonMask]:
    """Yield the people who are large enough to be tested."""
    return (person for person in picture.people if min(person.mask_HW.shape, default=0) >= MIN_SIDE)


def _other_box(picture: Picture) -> Iterator[str]:
    people = (person for person in sizeable(picture) if overlap(person.box, bounds(person)) < 0.5)
    yield from (f"person {p.id}: box {_shown(p.box)}, mask within {_shown(bounds(p))}" for p in people)


def _scattered(picture: Picture) -> Iterator[str]:
    people = (person for person in sizeable(picture) if any(fact.is_dust for fact in _facts(person)))
    people = (p for p in people if label(p.mask_HW)[1] >= _MANY_PARTS)  # pyright: ignore[reportGeneralTypeIssues, reportIndexIssue]
    yield from (f"person {p.id}, {int(p.mask_HW.sum())} pixels within {_shown(bounds(p))}" for p in people)


def _thin(picture: Picture) -> Iterator[str]:
    people = (person for person in sizeable(picture) if any(fact.is_thin for fact in _facts(person)))
    yield from (f"person {p.id}, {int(p.mask_HW.sum())} pixels within {_shown(bounds(p))}" for p in people)


def _facts(person: PersonMask) -> list[IdFacts]:
    return [fact for fact in facts_of(person.mask_HW.astype(np.int64)) if fact.id]


def _framing(picture: Picture) -> Iterator[str]:
    whole = (0, 0, *picture.image.size)
    for person in [person for person in sizeable(picture) if bounds(person) == whole]:
        mask = person.mask_HW
        rim = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
        if rim.mean() > 0.8:
            yield f"person {person.id} has {100 * rim.mean():.0f} % of the frame's border"
            return


def _in_parts(picture: Picture) -> Iterator[str]:
    for person in sizeable(picture):
        parts_HW, count = label(person.mask_HW, np.ones((3, 3)))  # pyright: ignore[reportGeneralTypeIssues]
        sizes = np.sort(np.bincount(np.asarray(parts_HW).reshape(-1), minlength=3)[1:])
        if count > 1 and sizes[-2] >= 0.25 * sizes.sum():
            yield f"person {person.id}, {count} parts"


def _flat(picture: Picture) -> Iterator[str]:
    extremes = np.array(picture.image.getextrema()).reshape(-1, 2)
    if (extremes[:, 1] - extremes[:, 0]).max() <= 2:
        yield "every pixel has about the colour ({}, {}, {})".format(*extremes[:, 0].tolist())


def _dark(picture: Picture) -> Iterator[str]:
    brightest = int(np.array(picture.image.getextrema()).max())
    if 2 < brightest <= _BRIGHTEST_OF_12_BITS:
        yield f"no value is above {brightest} of 255"


def _twins(picture: Picture) -> Iterator[str]:
    seen: dict[tuple[int, int, tuple[int, ...], bytes], str] = {}
    for person in sizeable(picture):
        key = (person.column, person.row, person.mask_HW.shape, person.mask_HW.tobytes())
        if key in seen:
            yield f"persons {seen[key]} and {person.id}"
        seen[key] = person.id


def _shown(box: Box) -> str:
    return "({})".format(", ".join(f"{edge:.0f}" for edge in box))


def _area(box: Box) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


SUSPICIONS: Final = (
    Suspicion("have a box that is not that of their mask", "people", 0.02, _other_box),
    Suspicion("have a mask of scattered pixels", "people", 0.05, _scattered),
    Suspicion("have a mask that is but an outline", "people", 0.2, _thin),
    Suspicion("have a person around the whole frame: mask and background may be exchanged", "images", 0.2, _framing),
    Suspicion("have a mask in far parts: several people may have one mask", "people", 0.3, _in_parts),
    Suspicion("have one colour alone", "images", 0.0, _flat),
    Suspicion("are nearly black, as 10 or 12 bits in a file of 16 are", "images", 0.2, _dark),
    Suspicion("have the same person twice", "images", 0.0, _twins),
)
