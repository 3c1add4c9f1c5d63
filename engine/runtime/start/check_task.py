"""Find mistakes in a task before the first step, by trying its network, losses and scores on a batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from engine.config.tree import RunConfig
from engine.errors import UserError, did_you_mean
from engine.protocol.task_spec import TaskSpec
from engine.runtime.start.check_previews import check_previews
from engine.task import Samples, Splits, Tap, Task, Tensors, untapped
from engine.training.checkpoint.random_states import host_random_states_kept
from engine.training.checkpoint.values import NOT_PLAIN, is_plain
from engine.training.data.spans import samples_at, stacked
from engine.training.loss_sum import Objective

_TRIED = 2
"""Number of samples in the test batch."""


# `Any`: tasks have no common base class.
def check_splits(splits: Any) -> None:
    """Raise UserError unless `splits` are what `open_data` must return."""
    if not isinstance(splits, Splits):
        raise UserError(f"open_data() returns a {type(splits).__name__}: return Splits(train, val)")
    for name in ("train", "val"):
        samples = getattr(splits, name)
        if isinstance(samples, list | tuple) and not samples:
            continue
        if not (hasattr(samples, "sample") and hasattr(samples, "__len__")):
            raise UserError(
                f"open_data() returns the {name} split as a {type(samples).__name__}, which has no samples by epoch: "
                "wrap it in from_dataset(...)"
            )


def built_network(task: Task, config: RunConfig) -> nn.Module:
    """Return the network of `task`. Raises UserError for what is none, or cannot be trained and resumed."""
    model: Any = task.build_model(config)
    if not isinstance(model, nn.Module):
        raise UserError(f"build_model() returns a {type(model).__name__}: return the network, a torch.nn.Module")
    if mistake := next(_mistakes_in_tensors(model), ""):
        raise UserError(f"the network: {mistake}")
    return model


def _mistakes_in_tensors(model: nn.Module) -> Iterator[str]:
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if is_lazy(tensor):
            yield (
                f"{name!r} has no shape yet, as it is of a lazy module: pass an example through the network in "
                "build_model(), or give the sizes"
            )
        elif tensor.is_meta:
            yield f"{name!r} is on the device 'meta' and has no values: make it on the CPU in build_model()"
    for name, parameter in model.named_parameters():
        if not parameter.is_floating_point():
            yield f"the parameter {name!r} is of {parameter.dtype}: make it floating-point, or a buffer"
    for name, value in model.state_dict().items():
        if not (isinstance(value, Tensor) and is_plain(value, value.device.type)):
            yield (
                f"{name!r} cannot be in a checkpoint: {NOT_PLAIN}; if it never changes, register it with "
                "persistent=False"
            )
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.sparse and module.weight.requires_grad:
            yield f"{name!r} has sparse gradients, which the optimizer cannot read: leave out sparse=True"


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
    if off := sorted(set(task.spec.phases[0].adds) - config.active_components()):
        raise UserError(
            f"the first phase, {task.spec.phases[0].title!r}, adds {', '.join(off)}, which is off at the start: set "
            f"components.{off[0]} to true, or begin with a phase that adds none"
        )
    device = next(model.parameters()).device
    objective, spec = Objective(task, config), task.spec
    is_training = model.training
    model.eval()
    with (
        torch.random.fork_rng([device] if device.type == "cuda" else []),
        host_random_states_kept(),
        torch.no_grad(),
    ):
        batch, _ = _batch(splits.train, device)
        for on in dict.fromkeys((config.active_components(), _all_compatible(spec))):
            _try_losses(objective, model, batch, on)
        _try_scores(objective, model, *_batch(splits.val, device))
    model.train(is_training)


def _mistakes_in_parts(spec: TaskSpec, model: nn.Module) -> Iterator[str]:
    parts = dict(model.named_children())
    held: dict[int, str] = {}
    if next(model.parameters(), None) is None:
        yield "it has no parameters to train"
    elif not any(parameter.requires_grad for parameter in model.parameters()):
        yield "none of its parameters has requires_grad: there is nothing to train"
    for name, _ in model.named_parameters(recurse=False):
        yield f"the parameter {name!r} is in no named child: put it into a module of its own, since parts are monitored"
    if "total" in parts:
        yield "a child is called 'total', the name of the norm of all gradients in the journal: rename it"
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


def _batch(samples: Samples, device: torch.device) -> tuple[Tensors, tuple[str, ...]]:
    """Return the first samples and their names."""
    first = samples_at(samples, 0, range(min(_TRIED, len(samples))))
    if not (tensors := stacked(first)):
        raise UserError("the samples hold no tensors: give at least one by name")
    names = tuple(sample.sample_id for sample in first)
    return {name: tensor.to(device) for name, tensor in tensors.items()}, names


def _all_compatible(spec: TaskSpec) -> frozenset[str]:
    """Return the largest set of components that can be on together."""
    on: frozenset[str] = frozenset()
    for name in spec.component_names:
        on = on if spec.rivals(name, on) else on | {name}
    return on


def _try_losses(objective: Objective, model: nn.Module, batch: Tensors, on: frozenset[str]) -> None:
    terms = objective.task.spec.active_terms(on)
    tap = _checked_tap(objective.task.spec)
    outputs = objective.outputs(model, batch, on, tap, None)
    for term, value in objective.terms(outputs, batch, terms, tap).items():
        _check_scalar(term, value)


def _checked_tap(spec: TaskSpec) -> Tap:
    """Return a tap that raises UserError for a name that is no component's."""

    def tap(consumer: str, read: Tensor) -> Tensor:
        if consumer not in spec.component_names:
            known = did_you_mean(consumer, spec.component_names) if spec.component_names else "there is none"
            raise UserError(f"tap() names the component {consumer!r}, which the spec lacks: {known}")
        return read

    return tap


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


def _try_scores(objective: Objective, model: nn.Module, batch: Tensors, sample_ids: tuple[str, ...]) -> None:
    task = objective.task
    outputs = objective.outputs(model, batch, objective.config.active_components(), untapped, None)
    sums: Any = task.score(outputs, batch, objective.config)
    if not (isinstance(sums, Mapping) and all(isinstance(value, Tensor) for value in sums.values())):
        raise UserError("score() must return tensors by name: sums over the batch")
    metrics: Any = task.metrics(sums, len(next(iter(batch.values()))))
    if not isinstance(metrics, Mapping):
        raise UserError(f"metrics() returns a {type(metrics).__name__}, not numbers by name")
    _check_metrics(metrics, task.spec)
    check_previews(task, objective.config, outputs, batch, sample_ids)


def _check_metrics(metrics: Mapping[str, object], spec: TaskSpec) -> None:
    missing = next((metric.name for metric in spec.metrics if metric.name not in metrics), None)
    if missing is not None:
        raise UserError(f"metrics() does not return {missing!r}, which is in the spec")
    odd = next((name for name, value in metrics.items() if not isinstance(value, int | float)), None)
    if odd is not None:  # all are recorded
        raise UserError(f"metrics() returns {odd!r} as a {type(metrics[odd]).__name__}: make it a float")
