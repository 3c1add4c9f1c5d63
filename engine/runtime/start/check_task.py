"""Find mistakes in a task before the first step, by trying its network, losses and scores on a batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from engine.config.tree import RunConfig
from engine.errors import UserError
from engine.protocol.task_spec import TaskSpec
from engine.task import Samples, Splits, Task, Tensors, untapped
from engine.training.data.spans import stacked
from engine.training.loss_sum import Objective

_TRIED = 2
"""Number of samples in the test batch."""


def check_task(task: Task, config: RunConfig, model: nn.Module, splits: Splits) -> None:
    """Raise UserError at the first contradiction between the task and its spec. Random generators are unchanged.

    The built-in task is not checked: its tests do that.
    """
    if mistake := next(_mistakes_in_parts(task.spec, model), ""):
        raise UserError(f"the network: {mistake}")
    if not len(splits.val):
        raise UserError("the validation split is empty: the network cannot be validated")
    if not config.task:
        return
    device = next(model.parameters()).device
    objective, spec = Objective(task, config), task.spec
    is_training = model.training
    model.eval()
    with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.no_grad():
        batch = _batch(splits.train, device)
        for on in dict.fromkeys((config.active_components(), _all_compatible(spec))):
            _try_losses(objective, model, batch, on)
        _try_scores(objective, model, _batch(splits.val, device))
    model.train(is_training)


def _mistakes_in_parts(spec: TaskSpec, model: nn.Module) -> Iterator[str]:
    parts = dict(model.named_children())
    held: dict[int, str] = {}
    if next(model.parameters(), None) is None:
        yield "it has no parameters to train"
    for name, _ in model.named_parameters(recurse=False):
        yield f"the parameter {name!r} is in no named child: put it into a module of its own, since parts are monitored"
    for part, module in parts.items():
        for name, parameter in module.named_parameters():
            if (other := held.setdefault(id(parameter), part)) != part:
                yield f"{other!r} and {part!r} share the parameter {name!r}: put both into one named child"
    for component in spec.components:
        if component.has_parameters and component.name not in parts:
            yield (
                f"the component {component.name!r} has no part: name a child of the network like it, or set "
                "has_parameters=False if it is only a loss"
            )


def _batch(samples: Samples, device: torch.device) -> Tensors:
    first = [samples.sample(0, index) for index in range(min(_TRIED, len(samples)))]
    return {name: tensor.to(device) for name, tensor in stacked(first).items()}


def _all_compatible(spec: TaskSpec) -> frozenset[str]:
    """Return the largest set of components that can be on together."""
    on: frozenset[str] = frozenset()
    for name in spec.component_names:
        on = on if spec.rivals(name, on) else on | {name}
    return on


def _try_losses(objective: Objective, model: nn.Module, batch: Tensors, on: frozenset[str]) -> None:
    terms = objective.task.spec.active_terms(on)
    outputs = objective.outputs(model, batch, on, untapped, None)
    for term, value in objective.terms(outputs, batch, terms, untapped).items():
        _check_scalar(term, value)


# `Any`: tasks have no common base class.
def _check_scalar(term: str, value: Any) -> None:
    if not isinstance(value, Tensor):
        raise UserError(f"losses() returns the term {term!r} as a {type(value).__name__}, not a tensor")
    if value.ndim or not value.is_floating_point():
        shape = "x".join(map(str, value.shape)) or "a scalar"
        raise UserError(
            f"losses() returns the term {term!r} as {shape} of {value.dtype}, not a floating-point scalar: "
            "take the mean over the samples"
        )


def _try_scores(objective: Objective, model: nn.Module, batch: Tensors) -> None:
    task = objective.task
    outputs = objective.outputs(model, batch, objective.config.active_components(), untapped, None)
    sums: Any = task.score(outputs, batch, objective.config)
    if not (isinstance(sums, Mapping) and all(isinstance(value, Tensor) for value in sums.values())):
        raise UserError("score() must return tensors by name: sums over the batch")
    metrics: Any = task.metrics(sums, len(next(iter(batch.values()))))
    if not isinstance(metrics, Mapping):
        raise UserError(f"metrics() returns a {type(metrics).__name__}, not numbers by name")
    _check_metrics(metrics, task.spec)


def _check_metrics(metrics: Mapping[str, object], spec: TaskSpec) -> None:
    for name in (metric.name for metric in spec.metrics):
        if name not in metrics:
            raise UserError(f"metrics() does not return {name!r}, which is in the spec")
    for name, value in metrics.items():  # all are recorded
        if not isinstance(value, int | float):
            raise UserError(f"metrics() returns {name!r} as a {type(value).__name__}: make it a float")
