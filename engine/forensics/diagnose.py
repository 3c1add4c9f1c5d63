"""Replay a step and name its fault: the origin, the responsible part, and the conditions."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import torch
from torch import nn

from engine.forensics.capture import Evidence
from engine.forensics.nan_tracer import Origin
from engine.forensics.replay import Replayed, replay
from engine.forensics.tensor_stats import is_finite, stats_of
from engine.outputs.fault_report import ONLY_MIXED, REPRODUCED, VANISHED, Fault
from engine.protocol.task_spec import TaskSpec
from engine.training.loss_sum import Objective
from engine.training.optimizer import Moments

_DIVIDING: Final = ("sqrt", "pow", "norm", "linalg_vector_norm", "div")
"""Operations whose gradients are divided by a value that may be 0."""


def name_fault(objective: Objective, model: nn.Module, moments: Moments, evidence: Evidence) -> Fault:
    """Replay the step as often as needed and return its fault. The training state is not changed."""
    spec = objective.task.spec
    first = replay(objective, model, evidence, amp=evidence.amp)
    if first.finite:
        return _lasting(spec, model, moments) or _vanished(first, replay(objective, model, evidence, amp=evidence.amp))
    if first.origin is None:
        return _judged(_overflow(spec, first), objective, model, evidence)
    fault = _named(spec, first.origin, first, evidence)
    if fault.direction == "weight":
        return _moment_of(spec, f"{fault.module}.{fault.operation}", moments) or fault
    return fault if fault.direction == "input" else _judged(fault, objective, model, evidence)


def _judged(fault: Fault, objective: Objective, model: nn.Module, evidence: Evidence) -> Fault:
    """Return the fault, marked as one of mixed precision if the step is finite in full precision."""
    if evidence.amp is None:
        return fault
    again = replay(objective, model, evidence, amp=None)
    if not again.finite:
        return fault
    kind = str(evidence.amp).removeprefix("torch.")
    detail = (
        f"the same step in fp32 is finite (loss {again.loss:.6g}, gradient norm {again.grad_norm:.6g}), in {kind} not"
    )
    said = "; ".join(part for part in (fault.detail, detail) if part)
    return replace(fault, verdict=ONLY_MIXED, detail=said)


def _named(spec: TaskSpec, origin: Origin, replayed: Replayed, evidence: Evidence) -> Fault:
    place, batch = origin.place, evidence.batches[origin.batch]
    term = replayed.affected[0] if len(replayed.affected) == 1 else ""
    module = place.module or (term or "total" if origin.direction in ("forward", "backward") else "")
    return Fault(
        verdict=REPRODUCED,
        direction=origin.direction,
        module=module,
        operation=place.operation,
        term=term,
        refinement=_refinement(spec, place.module, term),
        source=place.source,
        detail=_detail(origin),
        terms=replayed.affected,
        sample_ids=tuple(batch.sample_ids[row] for row in origin.rows) or batch.sample_ids,
        inputs=origin.inputs,
    )


def _refinement(spec: TaskSpec, module: str, term: str) -> str:
    """Return the component that owns the module, else that of the loss term; an empty string for the base network."""
    part = module.partition(".")[0]
    return part if part in spec.component_names else spec.component_of(term)


def _detail(origin: Origin) -> str:
    """Return a sentence about the operation's inputs, or an empty string."""
    if origin.direction in ("input", "weight"):
        (stats,) = origin.inputs
        return f"{stats.num_nan} NaN and {stats.num_inf} Inf among {math.prod(stats.shape)} values"
    if origin.direction == "backward" and origin.place.operation in _DIVIDING:
        zeros = {stats.name: stats.num_zero for stats in origin.inputs}.get("other", 0)
        return f"it divides by zero: {zeros} values were 0" if zeros else ""
    return ""


def _overflow(spec: TaskSpec, replayed: Replayed) -> Fault:
    """Return the fault of a gradient norm that overflows although every gradient is finite."""
    part = max(replayed.norms, key=lambda name: (replayed.norms[name], name), default="")
    return Fault(
        verdict=REPRODUCED,
        direction="backward",
        module=part,
        operation="norm of the gradient",
        refinement=_refinement(spec, part, ""),
        detail=f"every gradient is finite, but the sum of their squares overflows; {part} has the largest",
        terms=tuple(replayed.terms),
    )


# --- a step that is finite in the replay -------------------------------------------------


def _lasting(spec: TaskSpec, model: nn.Module, moments: Moments) -> Fault | None:
    """Return the fault of a non-finite moment or weight in a finite step: the next update would spread it."""
    for name, parameter in model.named_parameters():
        if (moment := _moment_of(spec, name, moments)) is not None:
            return moment
        if not is_finite(parameter.detach()):
            module, _, own = name.rpartition(".")
            stats = (stats_of(own, parameter),)
            return Fault(REPRODUCED, "weight", module, own, refinement=_refinement(spec, module, ""), inputs=stats)
    return _overgrown(spec, model, moments)


def _overgrown(spec: TaskSpec, model: nn.Module, moments: Moments) -> Fault | None:
    """Return the fault of a part whose weights or moments are finite while the sum of their squares overflows."""
    for part, module in model.named_children():
        weights = {f"{part}.{name}": parameter.detach() for name, parameter in module.named_parameters()}
        held = [value for name in weights for value in moments.get(name, {}).values()]
        for direction, tensors in (("weight", list(weights.values())), ("moment", held)):
            if tensors and not is_finite(torch.stack([tensor.norm().float() for tensor in tensors]).square().sum()):
                detail = f"every {direction} is finite, but the sum of their squares overflows"
                return Fault(REPRODUCED, direction, part, "norm", refinement=_refinement(spec, part, ""), detail=detail)
    return None


def _moment_of(spec: TaskSpec, parameter: str, moments: Moments) -> Fault | None:
    """Return the fault of the parameter's non-finite moment.

    A non-finite step never updates moments, so it precedes the weight's fault.
    """
    module, _, own = parameter.rpartition(".")
    found = next(((key, held) for key, held in moments.get(parameter, {}).items() if not is_finite(held)), None)
    if found is None:
        return None
    part, inputs = f"{found[0]} of {own}", (stats_of(*found),)
    return Fault(REPRODUCED, "moment", module, part, refinement=_refinement(spec, module, ""), inputs=inputs)


def _vanished(first: Replayed, second: Replayed) -> Fault:
    if not second.finite:
        detail = "of two replays one was finite and one was not: a data race or faulty hardware"
    elif first.numbers() == second.numbers():
        detail = (
            f"two replays agree to the last bit (loss {first.loss:.6g}): the fault was transient,"
            " a data race or the hardware"
        )
    else:
        spread = max(abs(a - b) / max(abs(a), 1e-30) for a, b in zip(first.numbers(), second.numbers(), strict=True))
        detail = (
            f"two replays are finite and differ by {spread:.1e}: a data race, faulty hardware, or an operation"
            " with a random order of summation"
        )
    return Fault(VANISHED, detail=detail)


def describe_precision(amp: torch.dtype | None) -> str:
    """Return the number format of a step; an empty string for fp32."""
    return {torch.float16: "fp16", torch.bfloat16: "bf16"}.get(amp, "") if amp else ""
