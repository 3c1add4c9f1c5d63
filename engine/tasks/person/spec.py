"""Names of the loss terms and refinements, and the phases that enable them (SEED.md)."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Phase:
    """One rung of the ladder: its number, what it adds to the rung below, and why that comes here."""

    number: int
    adds: tuple[str, ...]
    title: str


PHASES: Final = (
    Phase(0, (), "base network"),
    Phase(1, ("boundary_refinement", "boundary_aware_loss"), "stable"),
    Phase(2, ("active_contour_loss",), "+ active contour"),
    Phase(3, ("contour_detection",), "+ contour detection"),
    Phase(4, ("distance_transform",), "+ distance transform"),
)

LAST_PHASE: Final = PHASES[-1].number


def refinements_of(phase: int) -> frozenset[str]:
    """Every refinement that `phase` (0..4) and the phases below it bring."""
    return frozenset(name for rung in PHASES[: phase + 1] for name in rung.adds)


def phase_of(refinements: frozenset[str]) -> int:
    """The highest phase (0..4) all of whose refinements are on."""
    return max(rung.number for rung in PHASES if refinements_of(rung.number) <= refinements)
