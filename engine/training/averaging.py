"""Average the weights over steps: exponentially (EMA), or with equal shares over the end of a run (SWA).

The averages are validated and exported; each checkpoint holds them in addition to the trained weights. Running
statistics of batch norms are averaged like weights: to first order, those of the averaged network are the average of
those on the way.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn

from engine.config.sections import TrainingConfig
from engine.training.gradients.batch_statistics import batch_statistics

AVERAGED: Final = "averaged_model"
"""The optional entry of a checkpoint with averaged weights, by the names of `model`."""
AVERAGING: Final = "averaging"
"""The entry of a checkpoint with the kind of average, and how many steps each part has in it."""


class WeightAverage:
    """The average of a network's weights, if one is configured; `is_begun` is False until a step has entered it.

    Each part of the network counts its own steps, since a part that is switched on begins at its present weights.
    """

    def __init__(self, model: nn.Module, training: TrainingConfig) -> None:
        self.kind = training.averaging
        self._rate = 1 - training.ema_decay
        self._model = model
        statistics = {id(buffer) for buffer in batch_statistics(model) if buffer.is_floating_point()}
        parts = {
            name: [
                *(parameter for parameter in part.parameters() if parameter.requires_grad),
                *(buffer for buffer in part.buffers() if id(buffer) in statistics),
            ]
            for name, part in (model.named_children() if self.kind != "none" else ())
        }
        self._live: dict[str, list[Tensor]] = {name: live for name, live in parts.items() if live}
        self._averages = {name: [tensor.detach().clone() for tensor in live] for name, live in self._live.items()}
        device = next(model.parameters()).device
        self._counts = torch.zeros(len(self._live), device=device)
        self.is_begun = self.kind == "ema"

    @property
    def validated(self) -> str:
        """How the weights in use at a validation are averaged, `ema` or `swa`; an empty string for trained ones."""
        return self.kind if self.is_begun else ""

    @torch.no_grad()
    def update(self, finite: Tensor) -> None:
        """Take the present weights into the average, unless the step was not finite. Does not synchronize.

        `finite` is a boolean scalar (no axes).
        """
        if not self.is_begun:
            self.begin(self._live)
        weights = 1 / (self._counts + 1)
        if self.kind == "ema":
            weights = (9 / (self._counts + 10)).clamp(min=self._rate)
        if finite.device.type == "cpu":
            if not bool(finite):
                return
            for (name, live), weight in zip(self._live.items(), weights.tolist(), strict=True):
                torch._foreach_lerp_(self._averages[name], live, weight)  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
        else:
            for (name, live), weight in zip(self._live.items(), (weights * finite).unbind(), strict=True):
                move_towards(self._averages[name], live, weight)
        self._counts += finite

    @torch.no_grad()
    def begin(self, parts: Collection[str]) -> None:
        """Begin the average of `parts` at their present weights."""
        for number, (name, live) in enumerate(self._live.items()):
            if name in parts:
                torch._foreach_copy_(self._averages[name], live)  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
                self._counts[number] = 0
        self.is_begun = True

    @contextmanager
    def in_use(self) -> Generator[None]:
        """Give the network its averaged weights during the block, if the average has begun."""
        if not self.is_begun:
            yield
            return
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for name, live in self._live.items():
            for tensor, average in zip(live, self._averages[name], strict=True):
                tensor.data, average.data = average.data, tensor.data

    def is_finite(self) -> bool:
        """Return whether every averaged value is finite. Waits for the device."""
        if not self.is_begun:
            return True
        every = [average for averages in self._averages.values() for average in averages]
        norms = torch._foreach_norm(every)  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
        return bool(torch.isfinite(torch.stack(norms)).all())

    def state_dict(self) -> dict[str, Any]:
        """Return the entries of a checkpoint; an empty dict before the average has begun. Waits for the device."""
        if not self.is_begun:
            return {}
        counts = dict(zip(self._live, map(int, self._counts.tolist()), strict=True))
        return {
            AVERAGED: {name: tensor if average is None else average for name, tensor, average in self._by_name()},
            AVERAGING: {"kind": self.kind, "counts": counts},
        }

    @torch.no_grad()
    def load(self, payload: Mapping[str, Any]) -> None:
        """Restore the average of a checkpoint, whose weights the network has.

        If it holds none of this kind, EMA begins at these weights, and SWA at the next step that enters it.
        """
        self.is_begun = False
        is_held = holds_average(payload, self.kind)
        if not is_held and self.kind == "ema":
            self.begin(self._live)
        if not is_held:
            return
        for name, average in [(name, held) for name, _, held in self._by_name() if held is not None]:
            average.copy_(payload[AVERAGED][name])
        counts = payload[AVERAGING]["counts"]
        self._counts.copy_(torch.tensor([float(counts.get(name, 0)) for name in self._live]))
        self.is_begun = True

    def _by_name(self) -> Iterator[tuple[str, Tensor, Tensor | None]]:
        """Yield each tensor of the network's state with its average, `None` for a buffer that is not averaged."""
        averages = {
            id(tensor): average
            for name, live in self._live.items()
            for tensor, average in zip(live, self._averages[name], strict=True)
        }
        held: dict[str, Tensor] = self._model.state_dict(keep_vars=True)
        yield from ((name, tensor, averages.get(id(tensor))) for name, tensor in held.items())


def holds_average(payload: Mapping[str, Any], kind: str) -> bool:
    """Return whether a checkpoint holds an average of that kind."""
    return payload.get(AVERAGED) is not None and payload[AVERAGING]["kind"] == kind


def move_towards(averages: list[Tensor], live: list[Tensor], weight: Tensor) -> None:
    """Move `averages` towards `live` by the fraction `weight`, a scalar on the device that the host does not know."""
    way = torch._foreach_sub(live, averages)  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
    torch._foreach_mul_(way, weight)  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
    torch._foreach_add_(averages, way)  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
