"""Check that a checkpoint can be resumed: every field is valid, and its tensors fit the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, cast

import torch
from torch import Tensor, nn

from engine.config.tree import RunConfig
from engine.config.yaml_source import read_settings, written_tree
from engine.errors import UserError
from engine.protocol.codec import WireError, from_text
from engine.protocol.state import RunState
from engine.protocol.task_spec import TaskSpec
from engine.protocol.wire import state_from_text
from engine.supervision.run_memory import RunMemory
from engine.task import load_task
from engine.training.averaging import AVERAGED, AVERAGING
from engine.training.checkpoint.file import (
    CheckpointDamagedError,
    are_weights,
    checkpoint_name,
    is_step_checkpoint,
    list_checkpoints,
    load_checkpoint,
)
from engine.training.checkpoint.random_states import host_random_states_kept

_MOMENTS: Final = {"step", "exp_avg", "exp_avg_sq"}
_SCALER: Final = {"scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker"}
_MOST: Final = 2**53
"""Maximum count: larger ones are not exact as a float."""


class CheckpointMisfitError(CheckpointDamagedError):
    """Raised for a valid checkpoint of a network other than the configured one."""


def load_resumable(path: Path, config: RunConfig) -> dict[str, Any]:
    """Return a checkpoint like `load_checkpoint`, with all fields that a run under `config` needs to resume.

    Raises CheckpointDamagedError if a field is missing or invalid, and CheckpointMisfitError if the network differs.
    """
    payload = load_checkpoint(path)
    try:
        _check_fields(payload, config)
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


def _check_fields(payload: Mapping[str, Any], config: RunConfig) -> None:
    """Raise ValueError at the first field that is missing, or is not what `TrainState` and `Checkpointer` write."""
    step = _count(payload, "step")
    spec = load_task(config.task).spec
    _check_state(state_from_text(_text(payload, "state"), spec), step, spec)
    _check_config(_text(payload, "config"))
    RunMemory(config, spec).load_state_dict(from_text(_text(payload, "books")))
    for name in ("good", "validation_due"):
        _require(isinstance(payload.get(name), bool), f"{name} is not true or false")
    _check_position(payload.get("position"))
    _check_random_state(payload.get("rng"))
    _check_moments(payload.get("moments"), payload["model"])
    _check_scaler(payload.get("scaler"))
    zclip = payload.get("zclip")
    _require(zclip is None or _is_plain(zclip, (3,)), "zclip is not three numbers")
    averaged = _checked_average(payload)
    if payload["good"]:
        moments = payload["moments"]
        held = [
            *(weights[name] for weights in (payload["model"], averaged) if weights for name in moments),
            *(value for one in moments.values() for value in one.values()),
        ]
        _require(all(bool(torch.isfinite(value).all()) for value in held), "it is marked good but is not finite")


def _check_state(state: RunState, step: int, spec: TaskSpec) -> None:
    _require(state.step == step, f"its state is of step {state.step}")
    for name in ("batch_size", "accumulation"):
        _require(1 <= getattr(state, name) <= _MOST, f"its {name} is {getattr(state, name)}")
    for name in ("lr_scale", "gradient_clip"):
        _require(0 <= getattr(state, name) <= _MOST, f"its {name} is {getattr(state, name)}")
    _require(state.optimizer in ("adam", "adamw"), f"its optimizer is {state.optimizer!r}")
    _require(state.refinements <= set(spec.component_names), f"it names unknown {spec.component_noun}s")
    _require(set(state.loss_weights) >= set(spec.term_names), "its loss weights are incomplete")


@lru_cache(maxsize=8)
def _check_config(text: str) -> None:
    """Raise ValueError if the configuration's text lacks a section. The checkpoints of a run have the same text.

    `read_settings` refuses aliases and tags before the whole text is read.
    """
    read_settings(text, "its config")
    tree = written_tree(text)
    for section, inner in (("training", ""), ("loss", "weights"), ("model", ""), ("guard", "")):
        held = tree.get(section) if isinstance(tree, dict) else None
        held = held.get(inner) if inner and isinstance(held, dict) else held
        _require(isinstance(held, dict), f"its config has no {section}{'.' if inner else ''}{inner}")


def _check_position(position: object) -> None:
    numbers = cast(list[object], position) if isinstance(position, list) else []
    right = len(numbers) == 2 and all(type(number) is int and 0 <= number <= _MOST for number in numbers)
    _require(right, "its position is not an epoch and an index")


def _check_random_state(rng: object) -> None:
    held = cast(dict[str, object], rng) if isinstance(rng, dict) else {}
    cpu, cuda = held.get("cpu"), held.get("cuda")
    right = _is_plain(cpu, None, torch.uint8) and (cuda is None or _is_plain(cuda, None, torch.uint8))
    _require(right and "cuda" in held, "its random state is missing")
    try:
        torch.Generator().set_state(cast(Tensor, cpu))
    except RuntimeError as error:
        raise ValueError(f"its random state cannot be used: {str(error).splitlines()[0]}") from error


def _check_moments(moments: object, model: Mapping[str, Tensor]) -> None:
    _require(isinstance(moments, dict), "its optimizer moments are missing")
    for name, held in cast(dict[str, object], moments).items():
        _require(name in model, f"it has moments of {name!r}, which its network lacks")
        parts = cast(dict[str, object], held) if isinstance(held, dict) else {}
        right = set(parts) == _MOMENTS and _is_plain(parts["step"], ())
        right = right and all(_is_plain(parts[key], model[name].shape) for key in ("exp_avg", "exp_avg_sq"))
        _require(right, f"its moments of {name!r} are not Adam's")


def _checked_average(payload: Mapping[str, Any]) -> Mapping[str, Tensor]:
    """Return the averaged weights, none if the checkpoint holds none. Raises ValueError unless they fit the others."""
    averaged, kept, model = payload.get(AVERAGED), payload.get(AVERAGING), payload["model"]
    if averaged is None:
        return {}
    right = are_weights(averaged) and averaged.keys() == model.keys()
    right = right and all(
        (value.shape, value.dtype) == (model[name].shape, model[name].dtype) for name, value in averaged.items()
    )
    _require(right, "its averaged weights are not of its network")
    told = cast(dict[str, object], kept) if isinstance(kept, dict) else {}
    counts = told.get("counts")
    counted = isinstance(counts, dict) and all(
        type(count) is int and 0 <= count <= _MOST for count in cast(dict[object, object], counts).values()
    )
    _require(told.get("kind") in ("ema", "swa") and counted, "it does not say how its weights were averaged")
    return averaged


def _check_scaler(scaler: object) -> None:
    _require(isinstance(scaler, dict), "its loss scaling is missing")
    held = cast(dict[str, object], scaler)
    right = not held or (set(held) == _SCALER and all(isinstance(value, int | float) for value in held.values()))
    _require(right, "its loss scaling is not a scale with its factors")


def odd_parameter(model: nn.Module, weights: Mapping[str, Tensor]) -> str:
    """Return the first parameter of `model` for which `weights` are not finite; an empty string if there is none.

    A buffer may hold anything, such as a mask of infinities.
    """
    held = ((name, weights[name]) for name, _ in model.named_parameters() if name in weights)
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


def _is_plain(value: object, shape: tuple[int, ...] | None, dtype: torch.dtype = torch.float32) -> bool:
    """Return whether `value` is a dense tensor of that type and of `shape`, unless that is `None`.

    `load_checkpoint` has already refused more unusual tensors.
    """
    return isinstance(value, Tensor) and value.dtype == dtype and (shape is None or value.shape == shape)


def _count(payload: Mapping[str, Any], name: str) -> int:
    value = payload.get(name)
    if type(value) is not int or not 0 <= value <= _MOST:
        raise ValueError(f"its {name} is missing or not a count")
    return value


def _text(payload: Mapping[str, Any], name: str) -> str:
    value = payload.get(name)
    if not isinstance(value, str):
        raise ValueError(f"its {name} is missing or not a text")
    return value


def _require(right: bool, complaint: str) -> None:
    if not right:
        raise ValueError(complaint)
