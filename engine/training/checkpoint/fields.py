"""Check that every field of a checkpoint is there and is what a run writes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, cast

import torch
from torch import Tensor

from engine.config.files.yaml_source import read_settings, written_tree
from engine.config.tree import RunConfig
from engine.protocol.codec import from_text
from engine.protocol.state import RunState
from engine.protocol.task_spec import TaskSpec
from engine.protocol.wire import state_from_text
from engine.supervision.run_memory import RunMemory
from engine.task import load_task
from engine.training.averaging import AVERAGED, AVERAGING
from engine.training.checkpoint.archive import are_weights
from engine.training.checkpoint.random_states import host_random_states_kept, set_host_random_states

_MOMENTS: Final = {"step", "exp_avg", "exp_avg_sq"}
_SCALER: Final = {"scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker"}
_MOST: Final = 2**53
"""Maximum count: larger ones are not exact as a float."""


def check_fields(payload: Mapping[str, Any], config: RunConfig) -> None:
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
    if "python" in held:  # checkpoints of earlier versions lack it
        _check_host_random_states(held)


def _check_host_random_states(states: Mapping[str, Any]) -> None:
    try:
        with host_random_states_kept():
            set_host_random_states(states)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"its random state of Python or NumPy cannot be used: {error}") from error


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
