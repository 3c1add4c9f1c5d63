"""Find pictures that are copies of another with other pixels: re-encoded, or resized."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.protocol.record import record
from engine.tasks.person.data.readers.scenes import Picture

_SIDE: Final = 16
"""Side of the thumbnails that are compared."""

_MEAN_DIFFERENCE: Final = 1.75
_MAX_DIFFERENCE: Final = 8
"""Differences of two grey thumbnails (of 255) up to which they are equal. JPEG at quality 60 stays below 0.7 and 3."""

_BOX_DIFFERENCE: Final = 0.04
"""Difference of people's bounds, in fractions of the image, up to which they are equal."""


@record
class Thumbnail:
    """The greys of a picture at low resolution, and the bounds of its people in fractions of its size."""

    greys: NDArray[np.int16]
    people_P4: NDArray[np.float64]


def thumbnail(picture: Picture) -> Thumbnail:
    """Return the thumbnail of a picture."""
    small = picture.image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    width, height = picture.image.size
    bounds = sorted(
        (
            person.column / width,
            person.row / height,
            (person.column + person.mask_HW.shape[1]) / width,
            (person.row + person.mask_HW.shape[0]) / height,
        )
        for person in picture.people
    )
    return Thumbnail(np.asarray(small, dtype=np.int16).reshape(-1), np.array(bounds).reshape(-1, 4))


def copies(train: Mapping[str, Thumbnail], val: Mapping[str, Thumbnail]) -> Iterator[tuple[str, str]]:
    """Yield the names (train, val) of pictures with equal greys and people at low resolution.

    People must be equal too, since a fixed camera gives equal backgrounds.
    """
    if not train:
        return
    names = list(train)
    greys_NC = np.stack([train[name].greys for name in names])
    for name, own in val.items():
        differences_NC = np.abs(greys_NC - own.greys)
        is_near = (differences_NC.mean(axis=1) <= _MEAN_DIFFERENCE) & (differences_NC.max(axis=1) <= _MAX_DIFFERENCE)
        near = (names[place] for place in np.flatnonzero(is_near))
        copied = next((candidate for candidate in near if _have_equal_people(train[candidate], own)), None)
        if copied is not None:
            yield copied, name


def _have_equal_people(one: Thumbnail, other: Thumbnail) -> bool:
    if len(one.people_P4) != len(other.people_P4) or len(one.people_P4) == 0:
        return False
    return float(np.abs(one.people_P4 - other.people_P4).max()) <= _BOX_DIFFERENCE
