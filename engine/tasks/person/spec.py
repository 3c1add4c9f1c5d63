"""Names of the loss terms and refinements, and the phases that enable them."""

from __future__ import annotations

from typing import Final

from engine.protocol.task_spec import Component, Metric, Phase, TaskSpec, Term

CLASSES: Final = ("background", "target", "other")

SWITCHES: Final[dict[str, str]] = {
    "boundary_refinement": "Correct the classes along predicted edges by a small learned residual (phase 1).",
    "boundary_aware_loss": "Weigh the cross-entropy higher in a band along class borders (phase 1).",
    "active_contour_loss": "Fit the target's region and penalise outlines away from the true one (phase 2).",
    "contour_detection": "Predict the target's outline in a separate head (phase 3).",
    "distance_transform": "Predict the signed distance to the target's outline in a separate head (phase 4).",
    "progressive_upsampling": (
        "Correct the classes by a residual decoded in upsampling stages. In no phase; excludes subpixel_conv."
    ),
    "subpixel_conv": (
        "Correct the classes by a residual decoded by pixel shuffling. In no phase; excludes progressive_upsampling."
    ),
}
"""The refinements, in the order of their number keys, and the meaning of the config key that switches each."""

REFINEMENTS: Final = tuple(SWITCHES)

EXCLUSIVE_REFINEMENTS: Final = ("progressive_upsampling", "subpixel_conv")
"""At most one of these may be on: both decode the same residual at mask resolution."""

REFINEMENT_OF_TERM: Final[dict[str, str]] = {
    "boundary_aware": "boundary_aware_loss",
    "active_contour": "active_contour_loss",
    "contour": "contour_detection",
    "distance": "distance_transform",
}
"""The refinement of each loss term that has one; `loss.clamp_max` bounds exactly these terms."""

BASE_TERMS: Final = ("cross_entropy", "dice", "auxiliary")

LOSS_TERMS: Final = (*BASE_TERMS, *REFINEMENT_OF_TERM)


PHASES: Final = (
    Phase("base network"),
    Phase("stable", ("boundary_refinement", "boundary_aware_loss")),
    Phase("+ active contour", ("active_contour_loss",)),
    Phase("+ contour detection", ("contour_detection",)),
    Phase("+ distance transform", ("distance_transform",)),
)
"""Progressive refinement from phase 0: the components that each phase adds to the previous one."""

_JUNCTIONS: Final = {
    "boundary_refinement": "classes",
    "boundary_aware_loss": "refined classes",
    "active_contour_loss": "refined classes",
}
"""The tensor at which a refinement's gradient enters the shared network, if it is not the shared features."""

_ONLY_LOSSES: Final = ("boundary_aware_loss", "active_contour_loss")

_REMEDIES: Final = {
    "boundary_refinement": "edge normalization with near-zero checks",
    "active_contour_loss": "gradient clamping in active contour loss",
}
"""Remedies for faults that are attributed to a refinement."""

TERM_WEIGHTS: Final = {
    "cross_entropy": 1.0,
    "dice": 0.5,
    "auxiliary": 0.3,
    "boundary_aware": 0.1,
    "active_contour": 0.1,
    "contour": 0.1,
    "distance": 0.1,
}
"""The default weight of each loss term."""

CLASS_COLOURS: Final = ("#000000", "#e69f00", "#56b4e9")
"""Background, target and other in the Okabe-Ito palette, which is safe for colour blindness."""


def _component(name: str) -> Component:
    rivals = tuple(other for other in EXCLUSIVE_REFINEMENTS if name in EXCLUSIVE_REFINEMENTS and other != name)
    return Component(
        name,
        reads=_JUNCTIONS.get(name, "features"),
        has_parameters=name not in _ONLY_LOSSES,
        excludes=rivals,
        remedy=_REMEDIES.get(name, ""),
    )


SPEC: Final = TaskSpec(
    name="person",
    terms=tuple(
        Term(term, REFINEMENT_OF_TERM.get(term, ""), TERM_WEIGHTS[term], clamped=term in REFINEMENT_OF_TERM)
        for term in LOSS_TERMS
    ),
    metrics=(
        Metric("miou", "mIoU", 0, 1),
        *(Metric(f"iou_{name}", f"IoU {name}", 0, 1) for name in CLASSES),
        Metric("boundary_f", "boundary F", 0, 1),
        Metric("miou_seed", "seed mIoU", 0, 1),
        Metric("target_iou", "mean target IoU", 0, 1),
    ),
    score="miou",
    components=tuple(_component(name) for name in REFINEMENTS),
    phases=PHASES,
    classes=tuple(zip(CLASSES, CLASS_COLOURS, strict=True)),
    component_noun="refinement",
    sample_noun="region",
)
"""The person task's names for the engine and the screen."""

LAST_PHASE: Final = SPEC.last_phase
active_terms = SPEC.active_terms
refinements_of = SPEC.components_of
phase_of = SPEC.phase_of
