"""The fault that a repetition has found: what it says of the operation at which a non-finite value began."""

from __future__ import annotations

from engine.forensics.nan_tracer import Origin
from engine.outputs.fault_report import REPRODUCED, VANISHED, Fault


def fault_of(origin: Origin | None, terms: tuple[str, ...]) -> Fault:
    """Return the fault with this origin; `terms` are the loss terms that are not finite."""
    if origin is None:
        return Fault(
            VANISHED,
            detail="the step was finite when it was repeated with the same batches, weights and random numbers",
        )
    place = origin.place
    term = terms[0] if len(terms) == 1 else ""
    detail = ""
    if origin.inputs and origin.direction in ("input", "weight"):
        (stats,) = origin.inputs
        detail = f"{stats.num_nan} NaN and {stats.num_inf} Inf in it"
    return Fault(
        REPRODUCED,
        origin.direction,
        place.module or (term or "the loop" if origin.direction in ("forward", "backward") else ""),
        place.operation,
        term=term,
        source=place.source,
        detail=detail,
        terms=terms,
        inputs=origin.inputs,
    )
