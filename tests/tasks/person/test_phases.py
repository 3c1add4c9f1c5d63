"""The phases of progressive refinement, and the loss terms that each adds."""

from __future__ import annotations

import pytest

from engine.tasks.person.spec import (
    BASE_TERMS,
    LAST_PHASE,
    LOSS_TERMS,
    PHASES,
    REFINEMENTS,
    active_terms,
    phase_of,
    refinements_of,
)

SEED_LADDER = {
    0: set(),
    1: {"boundary_refinement", "boundary_aware_loss"},
    2: {"boundary_refinement", "boundary_aware_loss", "active_contour_loss"},
    3: {"boundary_refinement", "boundary_aware_loss", "active_contour_loss", "contour_detection"},
    4: {"boundary_refinement", "boundary_aware_loss", "active_contour_loss", "contour_detection", "distance_transform"},
}


@pytest.mark.parametrize("phase", SEED_LADDER)
def test_each_phase_adds_the_published_refinements_and_terms(phase: int) -> None:
    assert refinements_of(phase) == SEED_LADDER[phase]
    assert phase_of(frozenset(SEED_LADDER[phase])) == phase


def test_phases_add_refinements_that_exist_each_once() -> None:
    added = [name for phase in PHASES for name in phase.adds]
    assert len(PHASES) == LAST_PHASE + 1
    assert set(added) <= set(REFINEMENTS) and len(added) == len(set(added))


def test_refinements_above_a_gap_do_not_raise_the_phase() -> None:
    assert phase_of(frozenset({"active_contour_loss", "distance_transform"})) == 0
    assert phase_of(refinements_of(1) | {"distance_transform", "subpixel_conv"}) == 1


def test_base_terms_are_always_active_and_others_follow_their_refinement() -> None:
    assert active_terms(frozenset()) == BASE_TERMS
    assert active_terms(frozenset({"distance_transform", "boundary_aware_loss"})) == (
        "cross_entropy",
        "dice",
        "auxiliary",
        "boundary_aware",
        "distance",
    )
    assert active_terms(frozenset(REFINEMENTS)) == LOSS_TERMS


def test_refinements_without_a_term_of_their_own_add_none() -> None:
    without = frozenset({"boundary_refinement", "progressive_upsampling", "subpixel_conv"})
    assert active_terms(without) == BASE_TERMS
