"""The running statistics of batch normalisation: kept before a step, and restored after one that updated nothing."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase  # pyright: ignore[reportPrivateUsage]


class BatchStatistics:
    """Running means, variances and counters of a network's batch norms; nothing to do if it has none.

    A step changes them in its forward passes, before it is known to be finite.
    """

    def __init__(self, model: nn.Module) -> None:
        held = batch_statistics(model)
        self._means = [buffer for buffer in held if buffer.is_floating_point()]
        self._counts = [buffer for buffer in held if not buffer.is_floating_point()]
        self._held = [*self._means, *self._counts]
        self._copies = [buffer.clone() for buffer in self._held]
        known = set(map(id, held))
        self._others = [buffer for buffer in model.buffers() if id(buffer) not in known]
        self._is_kept = False

    def keep(self) -> None:
        """Copy the statistics of before a step."""
        _copy(self._held, self._copies)
        self._is_kept = True

    def begin(self) -> None:
        """Copy the statistics of before a step, unless `keep` has done so for this step."""
        if not self._is_kept:
            self.keep()

    def restore(self) -> None:
        """Restore the statistics of the last `keep`."""
        _copy(self._copies, self._held)

    def settle(self, finite: Tensor) -> None:
        """Restore the statistics if the step was not finite, and any single one that is not, without synchronizing.

        `finite` is a boolean scalar (no axes).
        """
        self._is_kept = False
        if not self._held:
            return
        before, now = _flat(self._copies[: len(self._means)]), _flat(self._means)
        counted, count = torch.stack(self._copies[len(self._means) :]), torch.stack(self._counts)
        means = torch.where(finite & torch.isfinite(now), now, before)
        counts = torch.where(finite, count, counted)
        _copy([*means.split([buffer.numel() for buffer in self._means]), *counts.unbind()], self._held)

    def versions(self) -> tuple[int, ...]:
        """Return how often each buffer that is no batch statistic has changed."""
        return tuple(tensor._version for tensor in self._others)  # pyright: ignore[reportPrivateUsage]


def batch_statistics(model: nn.Module) -> list[Tensor]:
    """Return the running means, variances and counters of all norms that have them."""
    norms = [module for module in model.modules() if isinstance(module, _NormBase)]
    held = [(norm.running_mean, norm.running_var, norm.num_batches_tracked) for norm in norms]
    return [buffer for buffers in held for buffer in buffers if buffer is not None]


@contextmanager
def kept_statistics(model: nn.Module) -> Generator[None]:
    """Restore the batch statistics after the block, which runs the network in training mode."""
    held = batch_statistics(model)
    before = [buffer.clone() for buffer in held]
    try:
        yield
    finally:
        _copy(before, held)


def _flat(tensors: list[Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])


def _copy(tensors: list[Tensor], to: list[Tensor]) -> None:
    """Copy tensors in one call: a loop of calls takes longer than the copies."""
    if tensors:
        torch._foreach_copy_(to, tensors)  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
