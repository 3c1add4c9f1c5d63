"""A small network during training, its next batch, and ways to break one of its operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import engine.tasks.person.losses.terms
from engine.forensics.capture import Evidence, evidence_of
from engine.forensics.diagnose import name_fault
from engine.outputs.fault_report import Fault
from engine.tasks.person.config import PersonConfig
from engine.tasks.person.model.network import HierarchicalUNet
from engine.tasks.person.spec import refinements_of
from engine.training.data.batch import Batch
from engine.training.gradients.step_report import StepReport
from engine.training.loss_sum import Objective
from engine.training.optimizer import moments_of
from engine.training.step import TrainStep
from engine.training.step_plan import StepPlan, plan_for
from tests.person_state import person_state
from tests.small import random_batch, small_config, train_step_of

ALL = refinements_of(4) | {"progressive_upsampling"}


@dataclass(frozen=True, slots=True)
class Scene:
    """A network that has taken three steps, and what the next one takes."""

    config: PersonConfig
    train_step: TrainStep
    plan: StepPlan
    batch: Batch

    @property
    def objective(self) -> Objective:
        return self.train_step.objective

    @property
    def model(self) -> HierarchicalUNet:
        return self.train_step.model

    def evidence(self, batch: Batch | None = None, **plan: object) -> Evidence:
        """What the next step depends on, with `plan` changed."""
        return evidence_of(self.train_step, [batch or self.batch], replace(self.plan, **plan))  # type: ignore[arg-type]

    def take(self, evidence: Evidence) -> StepReport:
        """Execute the step."""
        return self.train_step.run(evidence.batches, evidence.plan).resolve()

    def name(self, evidence: Evidence | None = None) -> Fault:
        """Return the fault of the next step."""
        moments = moments_of(self.train_step.optimizer, self.model)
        return name_fault(self.objective, self.model, moments, evidence or self.evidence())

    def whole(self) -> Mapping[str, Any]:
        """Return a copy of the complete training state."""
        copied = {name: value.clone() for name, value in self.model.state_dict().items()}
        moments = moments_of(self.train_step.optimizer, self.model)
        return {
            "model": copied,
            "moments": {name: {k: v.clone() for k, v in held.items()} for name, held in moments.items()},
            "grads": [p.grad for p in self.model.parameters()],
            "rng": torch.get_rng_state(),
            "scaler": self.train_step.scaler.state_dict(),
            "hooks": sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in self.model.modules()),
        }


def build_scene(*, refinements: frozenset[str] = ALL, amp: torch.dtype | None = None, seed: int = 0) -> Scene:
    """A scene of three steps, dropout on, that depends on `seed` alone."""
    if amp is not None:  # the scale of the loss is not copied
        return _built(refinements, amp, seed)
    scene, random_state = _kept(refinements, seed)
    torch.set_rng_state(random_state)
    return deepcopy(scene)


@cache
def _kept(refinements: frozenset[str], seed: int) -> tuple[Scene, Tensor]:
    """A scene, of which tests get copies, and torch's random state after its steps."""
    return _built(refinements, None, seed), torch.get_rng_state()


def _built(refinements: frozenset[str], amp: torch.dtype | None, seed: int) -> Scene:
    config = small_config(model={"dropout": 0.2}, training={"seed": seed})
    torch.manual_seed(seed)
    model = HierarchicalUNet(config.model)
    train_step = train_step_of(config, model, amp=amp)
    weights = MappingProxyType(dict(config.loss.weights))
    plan = plan_for(1.0, person_state(run="scene", refinements=refinements, loss_weights=weights), config)
    for number in range(3):
        train_step.run([random_batch(config, seed=100 * seed + number)], plan).resolve()
    return Scene(config, train_step, replace(plan, step=3), random_batch(config, seed=100 * seed + 50))


def same(left: Any, right: Any) -> bool:
    """Bit by bit, through dicts and lists; a NaN is the same as a NaN."""
    if isinstance(left, Tensor):
        return isinstance(right, Tensor) and torch.allclose(left, right, rtol=0, atol=0, equal_nan=True)
    if isinstance(left, Mapping):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


class SpoiltGradient(torch.autograd.Function):
    """The identity, whose gradient is `value` throughout."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, value: float) -> Tensor:
        ctx.value = value
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return torch.full_like(grads[0], ctx.value), None


def after(module: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
    """Replace the module's output by `change` of it."""
    forward = module.forward
    module.forward = lambda *inputs: change(forward(*inputs))  # type: ignore[method-assign]


def first_convolution(model: nn.Module, part: str) -> tuple[str, nn.Module]:
    """The first convolution of a part and its path."""
    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    return next((n, m) for n, m in model.named_modules() if isinstance(m, kinds) and n.startswith(f"{part}."))


def spoil_term(monkeypatch: pytest.MonkeyPatch, term: str, change: Callable[[Tensor], Tensor]) -> None:
    """Replace the value of a loss term by `change` of it."""
    terms = engine.tasks.person.losses.terms
    if term == "cross_entropy":
        real: Any = terms.cross_entropy
        monkeypatch.setattr(terms, "cross_entropy", lambda *inputs: change(real(*inputs)))
    else:
        real = terms._TERMS[term]
        monkeypatch.setitem(terms._TERMS, term, lambda *inputs: change(real(*inputs)))
