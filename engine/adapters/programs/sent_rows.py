"""The numbers of a step as they came from another process."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from engine.adapters.hooks.gradients.gradient_norms import Norms
from engine.adapters.hooks.update import Update
from engine.adapters.programs.sent_layers import SentHistograms, SentLayers
from engine.adapters.steps.step_reading import StepReading


def reading_of(row: Mapping[str, Any]) -> StepReading:
    """Return the numbers of a step as they came from the program."""
    losses: list[float] = row["loss"] or []
    norms = Norms([value**2 for value in row["norms"].values()], row["grad_norm"], (), _same(tuple(row["norms"])))
    bad = tuple(row["bad"])
    if row["finite"] is False and not bad:
        bad = tuple(part for part, value in row["norms"].items() if not math.isfinite(value))
    update = Update(
        count=1,
        lr=row["lr"],
        norms=(norms,),
        bad=bad,
        is_loss_bad=bool(row["is_loss_bad"]) or row["finite"] is False,
        scaler_skipped=row["scaler"],
        layers=SentLayers.of(row.get("layers")),
        histograms=tuple(SentHistograms.of(taken) for taken in row.get("histograms", ())),
    )
    return StepReading(
        update,
        {"": sum(losses)} if losses else {},
        seconds=max(row["seconds"], 1e-9),
        weight_norms=row["weight_norms"],
    )


@lru_cache(maxsize=8)
def _same(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return one object for equal names: steps with the same parts are recorded together."""
    return names
