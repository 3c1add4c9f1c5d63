"""Values with which a traced repetition begins, by name: a fault in one of them was there before any operation."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from engine.forensics.nan_tracer import Tracer


def note_inputs(tracer: Tracer, named: Iterable[tuple[str, Tensor]]) -> None:
    """Let `tracer` know the tensors of a batch, or the arguments of a network."""
    for name, tensor in named:
        tracer.root(tensor, "input", "", name)


def note_weights(tracer: Tracer, model: nn.Module) -> None:
    """Let `tracer` know the weights of `model`."""
    for name, parameter in model.named_parameters():
        module, _, own = name.rpartition(".")
        tracer.root(parameter.detach(), "weight", module, own)


def tensors_in(value: Any, name: str) -> Generator[tuple[str, Tensor]]:
    """Yield the tensors in nested lists, tuples and mappings, with names such as 'input[0]' and 'input.pixels'."""
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from tensors_in(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from tensors_in(item, f"{name}[{number}]")
