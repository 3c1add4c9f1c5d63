"""The weights of another run with which a new one begins: `--init-from`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.errors import UserError
from engine.protocol import events as e
from engine.training.averaging import AVERAGED
from engine.training.checkpoint.archive import are_weights
from engine.training.checkpoint.content import odd_parameter
from engine.training.checkpoint.file import CheckpointDamagedError, read_checkpoint
from engine.training.inference.export.weights_file import SUFFIX, read_weights


def inherit_from(model: nn.Module, path: Path) -> e.WeightsInherited:
    """Load the weights of the file `path` that fit into `model`, and return the event about them. Raises UserError."""
    if not path.is_file():
        raise UserError(
            f"--init-from {path}: there is no such file; give a checkpoint such as runs/NAME/checkpoints/best.pt"
        )
    try:
        weights, are_averaged = read_weights(path) if path.suffix == SUFFIX else _weights_of(read_checkpoint(path))
    except (CheckpointDamagedError, UserError) as error:
        raise UserError(f"--init-from: {error}; give another checkpoint") from error
    own = model.state_dict()
    odd = next((name for name, value in weights.items() if not _is_of_kind(value, own.get(name))), "")
    if odd := odd or odd_parameter(model, weights):
        raise UserError(f"--init-from {path}: {odd[:100]!r} holds no finite floating-point numbers; give another one")
    loaded, missing, unexpected = inherit_weights(model, weights)
    if not loaded:
        raise UserError(
            f"--init-from {path}: none of its tensors fits this network; use the configuration it came from"
        )
    return e.WeightsInherited(str(path), loaded, tuple(missing), tuple(unexpected), averaged=are_averaged)


def _weights_of(payload: Mapping[str, Any]) -> tuple[Mapping[str, torch.Tensor], bool]:
    """Return a checkpoint's averaged weights if it has any, else the others, and whether they are averaged."""
    return (payload[AVERAGED], True) if are_weights(payload.get(AVERAGED)) else (payload["model"], False)


def _is_of_kind(value: torch.Tensor, own: torch.Tensor | None) -> bool:
    """Return whether the values are floating-point, unless the network's `own` are not, as counters."""
    is_counter = own is not None and not own.is_floating_point() and own.dtype == value.dtype
    return value.is_floating_point() or is_counter


def inherit_weights(model: nn.Module, weights: Mapping[str, torch.Tensor]) -> tuple[int, list[str], list[str]]:
    """Copy weights that match by name and shape.

    Return the number of copied tensors, the missing names and the unused names.
    """
    own = model.state_dict()
    fitting = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    model.load_state_dict(fitting, strict=False)
    return len(fitting), sorted(set(own) - set(fitting)), sorted(set(weights) - set(fitting))
