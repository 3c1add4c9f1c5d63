"""Which samples of a validation are shown: the first, the worst, and those that were shown before."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from engine.errors import UserError
from engine.outputs.preview_file import Preview
from engine.task import HasPreviews, HasSampleErrors
from engine.training.data.batch import Batch
from engine.training.loss_sum import Objective
from engine.training.validation.result import ValidationPlan


def errors_of(objective: Objective, outputs: Any, batch: Batch) -> list[float]:
    """Return the error of each sample of a batch; an empty list if the task does not measure it."""
    task = objective.task
    if not isinstance(task, HasSampleErrors):
        return []
    errors_N = task.sample_errors(outputs, batch.tensors, objective.config)
    if tuple(errors_N.shape) != (len(batch),):
        raise UserError(f"sample_errors() must return one number per sample, not the shape {tuple(errors_N.shape)}")
    return errors_N.tolist()


def shown_rows(batch: Batch, plan: ValidationPlan, place: int, errors: Sequence[float]) -> dict[int, int]:
    """Return the rows of a batch to preview, each with its place in the split.

    A sample that is not among the worst up to its batch is not among the worst of the split.
    """
    if not plan.num_previews:
        return {}
    before = len(errors) - len(batch)
    rows = {at - before for at in _worst_first(errors)[: plan.num_worst] if at >= before}
    rows |= {row for row, name in enumerate(batch.sample_ids) if name in plan.remembered}
    rows |= set(range(min(len(batch), max(plan.num_previews - place, 0))))
    return {row: place + row for row in sorted(rows)}


def _worst_first(errors: Sequence[float]) -> list[int]:
    """Return the places of the finite errors in descending order; of equal ones the first comes first."""
    return sorted((at for at, error in enumerate(errors) if math.isfinite(error)), key=lambda at: -errors[at])


def previews_of(objective: Objective, outputs: Any, batch: Batch, shown: Mapping[int, int]) -> list[Preview]:
    """Return previews of rows of a batch; an empty list if the task has no previews."""
    task = objective.task
    if not isinstance(task, HasPreviews):
        return []
    return [
        replace(task.preview(outputs, batch.tensors, batch.sample_ids[row], row), place=place)
        for row, place in shown.items()
    ]


def chosen_previews(previews: Iterable[Preview], errors: Sequence[float], plan: ValidationPlan) -> tuple[Preview, ...]:
    """Return one preview of each sample to show with its error: the first of the split, the worst and remembered."""
    ranks = {at: rank for rank, at in enumerate(_worst_first(errors), 1)}
    found: dict[str, Preview] = {}
    for preview in previews:
        place, rank = preview.place, ranks.get(preview.place, 0)
        is_shown = place < plan.num_previews or 0 < rank <= plan.num_worst or preview.sample_id in plan.remembered
        if is_shown and preview.sample_id not in found:
            error = errors[place] if errors else math.nan
            found[preview.sample_id] = replace(preview, error=error, rank=rank)
    return tuple(found.values())
