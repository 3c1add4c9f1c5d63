"""Which numbers of a mask are people, and what is known of a mask."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from engine.protocol.record import record
from engine.tasks.person.data.readers.masks.facts import IdFacts, number, present_ids

_CRUMB: Final = 0.01
"""A part of a one-number mask below this fraction of the largest part is not a person."""


@record
class MaskRule:
    """Numbers that are people: all except background and void, within the bounds; or each connected part."""

    background: int = 0
    void: frozenset[int] = frozenset()
    least: int | None = 1
    most: int | None = None
    by_parts: bool = False

    def is_person(self, id_: int) -> bool:
        """Return whether the number is a person's."""
        above = self.least is None or id_ >= self.least
        return above and (self.most is None or id_ <= self.most) and id_ != self.background and id_ not in self.void

    def people(self, ids_HW: NDArray[np.int64]) -> tuple[NDArray[np.int32], int]:
        """Return the people of a mask numbered 1, 2, ... in ascending order, 0 for background, and their count."""
        present = [id_ for id_ in present_ids(ids_HW) if self.is_person(id_)]
        numbers_HW = number(ids_HW, present)
        return _parts(numbers_HW > 0) if self.by_parts else (numbers_HW, len(present))


@record
class MaskFile:
    """One mask of the folder: the image's name, the mask's name, and whether it has a palette."""

    name: str
    mask_name: str
    has_palette: bool
    facts: tuple[IdFacts, ...]

    def ids(self, rule: MaskRule) -> list[IdFacts]:
        """Return the facts of the numbers that are people by the rule."""
        return [fact for fact in self.facts if rule.is_person(fact.id)]


def _parts(mask_HW: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """Return each connected part of a mask as a person. Small crumbs are left out."""
    parts_HW, count = label(mask_HW, structure=np.ones((3, 3)))  # pyright: ignore[reportUnknownVariableType, reportGeneralTypeIssues]
    sizes = np.bincount(parts_HW.reshape(-1), minlength=count + 1)[1:]
    kept = [place for place, size in enumerate(sizes, 1) if size >= _CRUMB * max(sizes)]
    return number(parts_HW.astype(np.int64), kept), len(kept)
