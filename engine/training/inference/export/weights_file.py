"""Write and read weights as safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from engine.errors import UserError
from engine.outputs.inference.export_report import METADATA

SUFFIX: Final = ".safetensors"


def weights_content(weights: Mapping[str, Tensor], text: str) -> bytes:
    """Return the file of the weights by name, with the description `text`."""
    from safetensors.torch import save  # noqa: PLC0415 - an extra

    return save(_dense(weights), {METADATA: text})


def read_weights(path: Path) -> tuple[dict[str, Tensor], bool]:
    """Return the weights in a safetensors file, and whether its description says that they are averaged.

    Raises UserError if the file is damaged, or the package is missing.
    """
    if find_spec("safetensors") is None:
        raise UserError(f"{path.name} needs the package safetensors: pip install 'training-cockpit[export]'")
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415 - an extra
    from safetensors.torch import load_file  # noqa: PLC0415

    try:
        weights = load_file(path)
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get(METADATA, "")
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path.name} cannot be read as safetensors: {error}") from error
    if small := next((name for name, value in weights.items() if value.is_floating_point() and value.itemsize < 2), ""):
        raise UserError(f"{path.name} holds {small[:100]!r} in 8 bits, in which no network is trained")
    return weights, _are_averaged(text)


def _are_averaged(text: str) -> bool:
    """Return whether the description `text` says that the weights are averaged; other programs write none."""
    try:
        return json.loads(text)["weights"] == "averaged"
    except (ValueError, KeyError, TypeError):
        return False


def is_same(content: bytes, weights: Mapping[str, Tensor]) -> bool:
    """Return whether a file's content has exactly these weights, bit for bit."""
    from safetensors.torch import load  # noqa: PLC0415 - an extra

    found, held = load(content), _dense(weights)
    return set(found) == set(held) and all(_bits(found[name]) == _bits(value) for name, value in held.items())


def _dense(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in weights.items()}


def _bits(value: Tensor) -> bytes:
    return value.reshape(-1).view(torch.uint8).numpy().tobytes()
