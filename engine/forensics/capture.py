"""Capture a step's inputs other than the weights until its report arrives, so that it can be repeated exactly."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from engine.protocol.record import record
from engine.training.data.batch import Batch, Position
from engine.training.step import TrainStep
from engine.training.step_plan import StepPlan

_SHAPE = re.compile(r"_[A-Z0-9]+$")
"""The shape suffix of a tensor's name, such as `_N3HW`."""


def input_name(tensor_name: str) -> str:
    """Return a tensor's name without its shape suffix: `image_N3HW` is 'image'."""
    return _SHAPE.sub("", tensor_name)


@record
class RandomState:
    """torch's generators of the host and of the device (`None` without CUDA)."""

    cpu: Tensor
    cuda: Tensor | None


@record
class Evidence:
    """A step's plan and batches, the random state before it, its loss scale and number format (`None` for fp32)."""

    plan: StepPlan
    batches: tuple[Batch, ...]
    random: RandomState
    scale: float
    amp: torch.dtype | None

    @property
    def sample_ids(self) -> tuple[str, ...]:
        """The samples of all batches."""
        return tuple(name for batch in self.batches for name in batch.sample_ids)


def evidence_of(train_step: TrainStep, batches: list[Batch], plan: StepPlan) -> Evidence:
    """Return the inputs of the step that `train_step` is about to execute.

    Takes microseconds; the batches are not copied.
    """
    scale = train_step.scaler.get_scale() if train_step.scaler.is_enabled() else 1.0
    return Evidence(plan, tuple(batches), random_state(train_step.device), scale, train_step.amp)


def random_state(device: torch.device) -> RandomState:
    """Return the state of the generators that a step on `device` uses."""
    return RandomState(torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None)


def set_random_state(state: RandomState, device: torch.device) -> None:
    """Set the generators to `state`."""
    torch.set_rng_state(state.cpu)
    if state.cuda is not None and device.type == "cuda":
        torch.cuda.set_rng_state(state.cuda, device)


@contextmanager
def kept_random_state(device: torch.device) -> Generator[None]:
    """Restore the generators after the block."""
    before = random_state(device)
    try:
        yield
    finally:
        set_random_state(before, device)


def to_payload(evidence: Evidence) -> dict[str, Any]:
    """Return the evidence in types that torch.load(weights_only=True) accepts: dicts, lists, numbers and tensors."""
    return {
        "plan": _plan_payload(evidence.plan),
        "batches": [_batch_payload(batch) for batch in evidence.batches],
        "rng": {"cpu": evidence.random.cpu, "cuda": evidence.random.cuda},
        "scale": evidence.scale,
        "amp": str(evidence.amp).removeprefix("torch.") if evidence.amp else "",
    }


def _plan_payload(plan: StepPlan) -> dict[str, Any]:
    return {
        **{field.name: getattr(plan, field.name) for field in dataclasses.fields(plan)},
        "active": sorted(plan.active),
        "clamped": sorted(plan.clamped),
        "weights": dict(plan.weights),
        "ramps": dict(plan.ramps),
    }


def from_payload(payload: Mapping[str, Any], device: torch.device, clamped: frozenset[str]) -> Evidence:
    """Return the evidence that `to_payload` wrote, with batches on `device`.

    Raises KeyError or TypeError for other content.
    """
    names = {field.name for field in dataclasses.fields(StepPlan)}
    plan: dict[str, Any] = {key: value for key, value in payload["plan"].items() if key in names}
    plan |= {"active": frozenset(plan["active"]), "terms": tuple(plan["terms"])}
    plan["clamped"] = frozenset(plan.get("clamped", clamped))
    return Evidence(
        plan=StepPlan(**plan),
        batches=tuple(_batch_from(item, device) for item in payload["batches"]),
        random=RandomState(payload["rng"]["cpu"], payload["rng"]["cuda"]),
        scale=float(payload["scale"]),
        amp=getattr(torch, payload["amp"]) if payload["amp"] in ("float16", "bfloat16") else None,
    )


def _batch_payload(batch: Batch) -> dict[str, Any]:
    tensors = {name: tensor.detach().to("cpu", copy=True) for name, tensor in batch.tensors.items()}
    return {
        **tensors,
        "sample_ids": list(batch.sample_ids),
        "after": [batch.after.epoch, batch.after.index],
        "ends_epoch": batch.ends_epoch,
    }


def _batch_from(item: Mapping[str, Any], device: torch.device) -> Batch:
    tensors = {name: value.to(device) for name, value in item.items() if isinstance(value, Tensor)}
    return Batch(
        tensors=tensors,
        sample_ids=tuple(item["sample_ids"]),
        after=Position(*item["after"]),
        ends_epoch=item["ends_epoch"],
    )
