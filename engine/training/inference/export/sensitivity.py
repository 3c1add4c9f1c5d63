"""Find the convolutions whose inputs and outputs do not fit 8 bits, which then stay in float32."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.errors import UserError
from engine.training.inference.export.network import Arrays, Exportable

HARM: Final = 0.005
"""Share of classes that a single convolution in 8 bits may change."""

_CONVOLUTIONS: Final = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(slots=True)
class Range:
    """The minimum and maximum of a tensor over all batches seen, with zero between them."""

    low: float = 0.0
    high: float = 0.0

    def widen(self, values: Tensor) -> None:
        """Include the values in the range."""
        low, high = torch.aminmax(values)
        self.low, self.high = min(self.low, float(low)), max(self.high, float(high))

    def rounded(self, values: Tensor) -> Tensor:
        """Return the values, rounded to 256 levels of the range."""
        step = (self.high - self.low) / 255
        return values if step == 0 else ((values - self.low) / step).round() * step + self.low


def harmed(exported: Exportable, batches: Sequence[Arrays], weights: Collection[str]) -> list[str]:
    """Return those of `weights` whose convolution, alone in 8 bits, changes too many classes of the first batch.

    The ranges of its input and output are those of all batches. A wide range harms if a norm enlarges small values.
    """
    network, name = exported.network, next(iter(exported.outputs))
    parts = {
        part: module
        for part, module in network.named_modules()
        if isinstance(module, _CONVOLUTIONS) and f"{part}.weight" in weights
    }
    ranges = {part: (Range(), Range()) for part in parts}
    with ExitStack() as hooks:
        for part, module in parts.items():
            hooks.callback(module.register_forward_hook(partial(_widen, ranges[part])).remove)
        for inputs in batches:
            network.run(inputs)
    expected_N = classes(network.run(batches[0])[name])
    found: list[str] = []
    for part, module in parts.items():
        before, after = ranges[part]
        with ExitStack() as hooks:
            hooks.callback(module.register_forward_pre_hook(partial(_round_input, before)).remove)
            hooks.callback(module.register_forward_hook(partial(_round_output, after)).remove)
            changed = float((classes(network.run(batches[0])[name]) != expected_N).mean())
        if changed > HARM:
            found.append(f"{part}.weight")
    return found


def _widen(ranges: tuple[Range, Range], module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
    ranges[0].widen(given[0])
    ranges[1].widen(output)


def _round_input(held: Range, module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return held.rounded(given[0]), *given[1:]


def _round_output(held: Range, module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return held.rounded(output)


def classes(scores: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return the class of each prediction: axis 1 of `scores` counts the classes. Raises UserError for fewer than 2."""
    if scores.ndim < 2 or scores.shape[1] < 2:
        raise UserError("--int8 compares classes, and the network's first output has none: leave --int8 out")
    return scores.argmax(axis=1)
