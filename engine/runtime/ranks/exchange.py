"""The one collective of a step: gradients, losses, and what each rank has to say, in one sum over all ranks.

Each rank writes its own numbers to slots of their own and zeros elsewhere, so that the sum holds those of all. This
costs nothing beyond the gradients. DistributedDataParallel is not used. It fixes the trained parameters when it wraps a
network, and its buckets cannot carry the numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]

from engine.protocol.record import record
from engine.runtime.ranks.group import RankGroup

WORD: Final = 1
"""Rank 0 has commands: all ranks wait for them after this step."""
VOID: Final = 2
"""This rank has no part in the step: all ranks undo it, and wait for commands."""
NEWS: Final = 4
"""This rank has left a note for rank 0."""
_SIGNAL: Final = 8
"""Factor on the number of a signal that asks for the end, or for a checkpoint."""


def signalled(number: int) -> int:
    """Return the status of a rank that has got signal `number`, 0 for none."""
    return _SIGNAL * number


@record
class Told:
    """What all ranks said in one step: their status, and their own seconds and data waits in it."""

    status: tuple[int, ...] = ()
    seconds: tuple[float, ...] = ()
    waits: tuple[float, ...] = ()

    @property
    def is_void(self) -> bool:
        """Whether the step must be undone."""
        return any(status & VOID for status in self.status)

    @property
    def is_word(self) -> bool:
        """Whether all ranks wait for commands now."""
        return any(status & (WORD | VOID) for status in self.status)

    @property
    def news(self) -> tuple[int, ...]:
        """The ranks that have left a note for rank 0."""
        return tuple(rank for rank, status in enumerate(self.status) if status & NEWS)

    @property
    def signal(self) -> int:
        """The number of a signal that a rank has got, 0 for none."""
        return max((status // _SIGNAL for status in self.status), default=0)


class StepExchange:
    """Adds up a step over all ranks, as `TrainStep.ranks`. `status` is asked just before the sum; `told` is its answer.

    `is_void` lets this rank have no part in the step; `is_done` is whether it was added up.

    Parameters that have a gradient on any rank get one on all; the others keep none. Running statistics of batch
    normalisation become the mean over the ranks' samples.
    """

    def __init__(self, group: RankGroup, model: nn.Module, status: Callable[[], int]) -> None:
        self.world = group.world
        self.told = Told()
        self.is_void = self.is_done = False
        self._group, self._status = group, status
        self._began, self._waited = time.perf_counter(), 0.0
        self._trained = [p for p in model.parameters() if p.requires_grad]
        self._buffers = [
            buffer
            for module in model.modules()
            if isinstance(module, _BatchNorm)
            for buffer in (module.running_mean, module.running_var)
            if buffer is not None
        ]
        self._on_host = all(p.device.type == "cpu" for p in self._trained)
        self._before: list[Tensor] = []
        self._flat = torch.empty(0)
        self._views: list[Tensor] = []
        self._has_gradient = [False] * len(self._trained)

    def begin(self) -> None:
        """Note that this rank begins the next step, with its data."""
        self._began, self._waited, self.is_void, self.is_done = time.perf_counter(), 0.0, False, False
        self._before = [buffer.clone() for buffer in self._buffers]

    def undo(self) -> None:
        """Restore the running statistics of before the step."""
        for buffer, before in zip(self._buffers, self._before, strict=True):
            buffer.copy_(before)

    def note_wait(self, seconds: float) -> None:
        """Note how long this rank has waited for the step's data."""
        self._waited = seconds

    def reduce(self, loss_vector: Tensor, share: float) -> tuple[Tensor, Tensor]:
        """Add up the gradients of all ranks; see `GradientExchange`."""
        if self.is_void:
            loss_vector = torch.full_like(loss_vector, torch.nan)
        flat, grads, own = self._packed(len(loss_vector))
        for buffer, view in zip(self._buffers, self._views[len(self._trained) :], strict=True):
            torch.mul(buffer, share, out=view)
        bad = torch.zeros(self.world, device=flat.device, dtype=flat.dtype)
        bad[self._group.rank] = (~torch.isfinite(grads.sum() + loss_vector.sum())).to(flat.dtype)
        flat[own : own + len(loss_vector)] = loss_vector
        flat[own + len(loss_vector) : own + len(loss_vector) + self.world] = bad
        numbers = self._numbers()
        if self._on_host:
            flat[-len(numbers) :] = numbers
            self._group.add_up(flat)
            numbers = flat[-len(numbers) :].clone()
        else:
            self._group.add_up(flat, numbers)
        self.is_done = True
        self._unpack(numbers.tolist())
        loss_vector = flat[own : own + len(loss_vector)].to(loss_vector.dtype, copy=True)
        return loss_vector, flat[own + len(loss_vector) :][: self.world].to(loss_vector.dtype, copy=True)

    def _packed(self, num_losses: int) -> tuple[Tensor, Tensor, int]:
        """Return the flat tensor with this rank's gradients, its part that holds them, and the index after the buffers.

        It is kept from step to step; only another number of loss terms makes another one.
        """
        held = [*self._trained, *self._buffers]
        own = sum(tensor.numel() for tensor in held)
        size = own + num_losses + self.world + (self._num_numbers() if self._on_host else 0)
        if len(self._flat) != size:
            kinds = [tensor.dtype for tensor in held]
            kind = torch.float64 if torch.float64 in kinds else torch.float32
            self._flat = torch.zeros(size, dtype=kind, device=held[0].device)
            self._views = _views(self._flat, held)
        found = [p.grad for p in self._trained]
        self._has_gradient = [grad is not None for grad in found]
        grads = [grad for grad in found if grad is not None]
        views = self._views[: len(found)]
        if len(grads) < len(found):
            absent = [view for view, has in zip(views, self._has_gradient, strict=True) if not has]
            torch._foreach_zero_(absent)  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
            views = [view for view, has in zip(views, self._has_gradient, strict=True) if has]
        if grads:
            torch._foreach_copy_(views, grads)  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
        return self._flat, self._flat[: sum(p.numel() for p in self._trained)], own

    def _num_numbers(self) -> int:
        return 3 * self.world + len(self._trained)

    def _numbers(self) -> Tensor:
        """Return the slots of all ranks with this rank's numbers, and which parameters have a gradient here."""
        slots = [[0.0] * self.world for _ in range(3)]
        own = (self._status() | (VOID if self.is_void else 0), time.perf_counter() - self._began, self._waited)
        for slot, value in zip(slots, own, strict=True):
            slot[self._group.rank] = value
        return torch.tensor([*slots[0], *slots[1], *slots[2], *self._has_gradient], dtype=self._flat.dtype)

    def _unpack(self, numbers: Sequence[float]) -> None:
        """Give the sums to the parameters and buffers, and keep what was told."""
        world = self.world
        parts = [tuple(numbers[at : at + world]) for at in range(0, 3 * world, world)]
        self.told = Told(tuple(map(int, parts[0])), parts[1], parts[2])
        kind = self._flat.dtype
        for view, p, count in zip(self._views, self._trained, numbers[3 * world :], strict=False):
            if not count:
                p.grad = None
            else:
                p.grad = view if p.dtype is kind else view.to(p.dtype)
        if not self.told.is_void:
            for buffer, view in zip(self._buffers, self._views[len(self._trained) :], strict=True):
                buffer.copy_(view)


def _views(flat: Tensor, held: Sequence[Tensor]) -> list[Tensor]:
    """Return views of `flat` one after the other, with the shapes and the memory formats of `held`."""
    views: list[Tensor] = []
    at = 0
    for tensor in held:
        views.append(flat.as_strided(tensor.shape, torch.empty_like(tensor).stride(), at))
        at += tensor.numel()
    return views
