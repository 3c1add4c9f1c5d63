"""Check that a checkpoint can be resumed: every field is valid, and its tensors fit the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.config.tree import RunConfig
from engine.errors import UserError
from engine.protocol.codec import WireError
from engine.task import load_task
from engine.training.checkpoint.fields import check_fields
from engine.training.checkpoint.file import (
    CheckpointDamagedError,
    checkpoint_name,
    is_step_checkpoint,
    list_checkpoints,
    load_checkpoint,
)
from engine.training.checkpoint.random_states import host_random_states_kept


class CheckpointMisfitError(CheckpointDamagedError):
    """Raised for a valid checkpoint of another network or optimizer than the training's."""


def load_resumable(path: Path, config: RunConfig) -> dict[str, Any]:
    """Return a checkpoint like `load_checkpoint`, with all fields that a run under `config` needs to resume.

    Raises CheckpointDamagedError if a field is missing or invalid, and CheckpointMisfitError if the network differs.
    """
    payload = load_checkpoint(path)
    try:
        check_fields(payload, config)
    except (UserError, WireError, ValueError) as error:
        raise CheckpointDamagedError(f"{path.name} cannot be resumed: {error}") from error
    if is_step_checkpoint(path.name) and path.name != checkpoint_name(payload["step"]):
        raise CheckpointDamagedError(f"{path.name} cannot be resumed: it is of step {payload['step']}")
    if difference := weight_misfit(payload["model"], config):
        raise CheckpointMisfitError(f"{path.name} does not fit the configured network: {difference}")
    return payload


def newest_resumable(
    directory: Path, config: RunConfig, on_damage: Callable[[str, str], None] = lambda name, error: None
) -> dict[str, Any]:
    """Return the newest checkpoint in `directory` that a run under `config` can resume; its name must match its step.

    `on_damage(name, error)` is called for each skipped file. Raises UserError if none is left.
    """
    paths = list_checkpoints(directory)
    errors: list[CheckpointDamagedError] = []
    for path in reversed(paths):
        try:
            return load_resumable(path, config)
        except CheckpointDamagedError as error:
            on_damage(path.name, str(error))
            errors.append(error)
    misfit = next((error for error in errors if isinstance(error, CheckpointMisfitError)), None)
    if misfit is not None:
        raise UserError(f"{misfit}; resume with the model keys that the run was trained with, or use --init-from")
    others = " but best.pt and other copies" if (directory / "best.pt").is_file() else ""
    found = f"all {len(paths)} in it are damaged, the newest thus: {errors[0]}" if paths else f"it has none{others}"
    raise UserError(f"no usable checkpoint in {directory}: {found}; start a new run, or load weights with --init-from")


def odd_parameter(model: nn.Module, weights: Mapping[str, Tensor]) -> str:
    """Return the first trained parameter of `model` for which `weights` are not finite; an empty string for none.

    A buffer and a frozen parameter may hold anything, such as a mask of infinities.
    """
    trained = (name for name, parameter in model.named_parameters() if parameter.requires_grad)
    held = ((name, weights[name]) for name in trained if name in weights)
    return next((name for name, value in held if not bool(torch.isfinite(value).all())), "")


def _described_network(config: RunConfig) -> Mapping[str, Tensor]:
    """Return the weights of a new network, without values if `build_model` can do without."""
    task = load_task(config.task)
    try:
        with torch.device("meta"):
            return task.build_model(config).state_dict()
    except (RuntimeError, TypeError):  # it computes with values, or reads them
        with torch.random.fork_rng([]), host_random_states_kept():
            return task.build_model(config).state_dict()


def weight_misfit(held: Mapping[str, Tensor], config: RunConfig) -> str:
    """Return how the weights `held` differ from the configured network's; an empty string if they do not."""
    own = _described_network(config)
    if missing := sorted(set(own) ^ set(held)):
        side = "lacks" if missing[0] in own else "has besides"
        return f"it {side} {len(missing)} tensors, such as {missing[0][:100]!r}"
    for name, tensor in own.items():
        if held[name].shape != tensor.shape:
            return f"{name} is {_shape(held[name])} there and {_shape(tensor)} in the network"
        if held[name].dtype != tensor.dtype:
            return f"{name} is of {held[name].dtype} there and of {tensor.dtype} in the network"
    return ""


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a scalar"
