"""SEED.md's progressive refinement: what each phase adds, and which phase a set of refinements stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


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
