"""Open a trained network from a run or a checkpoint file, to use it outside of a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from engine.config.load import config_from_text
from engine.config.tree import RunConfig
from engine.errors import UserError
from engine.journal.disk.run_dir import CHECKPOINTS
from engine.protocol.codec import WireError
from engine.protocol.record import record
from engine.protocol.state import RunState
from engine.protocol.wire import state_from_text
from engine.task import Task, load_task
from engine.training.averaging import AVERAGED
from engine.training.checkpoint.archive import are_weights
from engine.training.checkpoint.checksum import has_checksum
from engine.training.checkpoint.content import odd_parameter, weight_misfit
from engine.training.checkpoint.file import (
    BEST,
    CheckpointDamagedError,
    list_checkpoints,
    load_checkpoint,
    read_checkpoint,
)
from engine.training.device import choose_device

Weights = Literal["averaged", "trained"]
"""The average of a network's weights over its last steps, or those of its last step."""


@record
class TrainedModel:
    """A network in evaluation mode, with what it was trained by.

    `checkpoint` is the file of its `weights`, after `step` steps. At that step `components` were on, and the loss terms
    had `loss_weights`.
    """

    task: Task
    config: RunConfig
    model: nn.Module
    checkpoint: Path
    step: int
    weights: Weights
    components: frozenset[str]
    loss_weights: Mapping[str, float] = field(default_factory=lambda: {})

    @property
    def device(self) -> torch.device:
        """The network's device."""
        return next(self.model.parameters()).device


def open_trained(source: Path, *, device: str = "auto", weights: Weights | None = None) -> TrainedModel:
    """Return the network of `source`: a checkpoint file, or a run's directory, whose best checkpoint is taken.

    Without a best checkpoint, the newest one that can be read is taken. The configuration is the checkpoint's own.
    `weights` of `None` takes averaged weights if there are any. Raises UserError if the checkpoint is missing, damaged
    or not of a task, or the device does not exist.
    """
    place = choose_device(device)
    try:
        path, payload = _newest_in(source) if source.is_dir() else (source, _read(source))
    except CheckpointDamagedError as error:
        raise UserError(f"{error}; give another checkpoint") from error
    step = payload.get("step")
    if type(step) is not int or not isinstance(payload.get("config"), str):
        raise UserError(f"{path} does not say which task it is of: give a checkpoint that a run of a task has written")
    if "moments" not in payload:  # an own loop keeps the states of its optimizers
        raise UserError(
            f"{path} is of a program with a loop of its own, which alone can build the network: load the weights "
            "there, with torch.load(FILE, weights_only=True)['model']"
        )
    config = config_from_text(payload["config"], f"the configuration in {path.name}")
    task = load_task(config.task)
    kind, held = _weights(path, payload, weights)
    if difference := weight_misfit(held, config):
        raise UserError(f"{path} does not fit the network of its own configuration: {difference}")
    state = _state(path, payload, task)
    model = task.build_model(config)
    if odd := odd_parameter(model, held):
        raise UserError(f"{path} is of no use: its {odd[:100]!r} is not finite; give an earlier checkpoint")
    model.load_state_dict(dict(held))
    return TrainedModel(
        task, config, model.to(place).eval(), path, step, kind, state.refinements, {**state.loss_weights}
    )


def _newest_in(run_dir: Path) -> tuple[Path, dict[str, Any]]:
    """Return a run's best checkpoint, else the newest one that can be read, with its content.

    A damaged best checkpoint is not replaced by another one, whose numbers would be mistaken for its.
    """
    directory = run_dir / CHECKPOINTS if (run_dir / CHECKPOINTS).is_dir() else run_dir
    if (directory / BEST).exists():
        return directory / BEST, load_checkpoint(directory / BEST)
    paths = list_checkpoints(directory)
    damage: CheckpointDamagedError | None = None
    for path in reversed(paths):
        try:
            return path, load_checkpoint(path)
        except CheckpointDamagedError as error:
            damage = damage or error
    if damage is not None:
        raise UserError(f"all {len(paths)} checkpoints in {directory} are damaged, the newest thus: {damage}")
    raise UserError(f"there is no checkpoint in {run_dir}: give a run that has saved one, or a checkpoint file")


def _read(path: Path) -> dict[str, Any]:
    """Return the content of a checkpoint file; its checksum is verified if it is there."""
    if not path.is_file():
        raise UserError(f"there is no checkpoint {path}: give a run, or a file such as runs/NAME/checkpoints/{BEST}")
    return load_checkpoint(path) if has_checksum(path) else read_checkpoint(path)


def _weights(path: Path, payload: Mapping[str, Any], wanted: Weights | None) -> tuple[Weights, Mapping[str, Tensor]]:
    """Return the wanted weights and which they are. Raises UserError if the checkpoint lacks them."""
    averaged = payload.get(AVERAGED)
    if wanted == "trained" or (wanted is None and averaged is None):
        return "trained", payload["model"]
    if averaged is None:
        raise UserError(f"{path} holds no averaged weights: train with averaging, or use the trained ones")
    if not are_weights(averaged):
        raise UserError(f"{path} is damaged: its averaged weights are not tensors by name; use the trained ones")
    return "averaged", averaged


def _state(path: Path, payload: Mapping[str, Any], task: Task) -> RunState:
    """Return the recorded state. Raises UserError if it is missing or not of the task."""
    try:
        state = state_from_text(str(payload.get("state", "")), task.spec)
    except (WireError, ValueError) as error:
        raise UserError(f"{path} is damaged: its state cannot be read ({error}); give another checkpoint") from error
    if unknown := state.refinements - set(task.spec.component_names):
        raise UserError(f"{path} is of another task: it names the {task.spec.component_noun} {min(unknown)[:100]!r}")
    if missing := set(task.spec.term_names) - set(state.loss_weights):
        raise UserError(f"{path} is of another task: it has no weight of the loss term {min(missing)!r}")
    return state
