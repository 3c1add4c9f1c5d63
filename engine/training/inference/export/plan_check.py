"""Find mistakes in what a task says about its export, before a file is made of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from engine.errors import UserError
from engine.task import ExportPlan, Tensors


# `Any`: tasks have no common base class.
def check_plan(plan: Any) -> None:
    """Raise UserError unless `plan` is what `export_plan` must return."""
    if not isinstance(plan, ExportPlan):
        raise UserError(f"export_plan() returns a {type(plan).__name__}: return ExportPlan(inputs, metadata)")
    if mistake := next(_mistakes_in_tensors(plan.inputs, "an input"), ""):
        raise UserError(f"export_plan() {mistake}")
    if unknown := sorted(set(plan.names) - set(plan.inputs)):
        raise UserError(f"export_plan() gives another name to {unknown[0]!r}, which is no input")
    if len(set(names_of(plan))) < len(plan.inputs):
        raise UserError(f"export_plan() gives two inputs the same name: {', '.join(names_of(plan))}")
    try:
        json.dumps(plan.metadata, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UserError(f"export_plan() returns metadata that are no JSON: {error}") from error


def names_of(plan: ExportPlan) -> tuple[str, ...]:
    """Return the names of the plan's inputs in the file, in their order."""
    return tuple(plan.names.get(name, name) for name in plan.inputs)


def check_outputs(plan: ExportPlan, outputs: Any) -> None:
    """Raise UserError unless `outputs` are what `export_outputs` must return for the plan's example."""
    count = len(next(iter(plan.inputs.values())))
    if mistake := next(_mistakes_in_tensors(outputs, "an output"), ""):
        raise UserError(f"export_outputs() {mistake}")
    for name, value in outputs.items():
        if len(value) != count:
            raise UserError(
                f"export_outputs() returns {name!r} with {len(value)} entries for {count} samples: its first axis must "
                "count the samples"
            )
        if name in names_of(plan):
            raise UserError(f"export_outputs() returns {name!r}, which is the name of an input: choose another one")


def check_samples(plan: ExportPlan, batch: Tensors) -> None:
    """Raise UserError unless the samples of `batch` have the tensors of the plan's example."""
    for name, example in plan.inputs.items():
        if name not in batch:
            raise UserError(f"export_plan() names the input {name!r}, and the samples have {', '.join(batch)}")
        if _kind(batch[name]) != _kind(example):
            raise UserError(
                f"export_plan() gives {name!r} as {_kind(example)} a sample, and the samples have it as "
                f"{_kind(batch[name])}"
            )


def _mistakes_in_tensors(tensors: Any, what: str) -> Iterator[str]:
    if not (isinstance(tensors, Mapping) and tensors):
        yield f"must return {what} or more, as tensors by name"
        return
    for name, value in tensors.items():
        if not isinstance(value, Tensor):
            yield f"returns {name!r} as a {type(value).__name__}, not a tensor"
        elif not value.ndim:
            yield f"returns {name!r} as a scalar: its first axis must count the samples"
        elif value.dtype in (torch.bfloat16, torch.complex64, torch.complex128):
            yield f"returns {name!r} in {value.dtype}, which a file for other programs cannot hold: convert it"


def _kind(value: Tensor) -> str:
    sizes: Sequence[int] = value.shape[1:]
    return f"{'x'.join(map(str, sizes)) or 'a scalar'} of {value.dtype}"
