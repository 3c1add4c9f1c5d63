"""The names that configs, journals and commands share: refinements, loss terms and classes (SEED.md)."""

from __future__ import annotations

from typing import Final

CLASSES: Final = ("background", "target", "other")

REFINEMENTS: Final = (
    "boundary_refinement",
    "boundary_aware_loss",
    "active_contour_loss",
    "contour_detection",
    "distance_transform",
    "progressive_upsampling",
    "subpixel_conv",
)

EXCLUSIVE_REFINEMENTS: Final = ("progressive_upsampling", "subpixel_conv")
"""At most one of these may be on: both decode the same residual at mask resolution."""

REFINEMENT_OF_TERM: Final[dict[str, str]] = {
    "boundary_aware": "boundary_aware_loss",
    "active_contour": "active_contour_loss",
    "contour": "contour_detection",
    "distance": "distance_transform",
}
"""The refinement a loss term belongs to; the clamp of SEED.md bounds exactly these terms."""

BASE_TERMS: Final = ("cross_entropy", "dice", "auxiliary")

LOSS_TERMS: Final = (*BASE_TERMS, *REFINEMENT_OF_TERM)


def active_terms(refinements: frozenset[str]) -> tuple[str, ...]:
    """The loss terms computed while `refinements` are on, in the order of `LOSS_TERMS`."""
    return tuple(term for term in LOSS_TERMS if REFINEMENT_OF_TERM.get(term, "") in refinements or term in BASE_TERMS)
