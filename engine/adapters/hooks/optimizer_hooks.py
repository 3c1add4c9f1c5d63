"""Hooks on foreign optimizers: the learning rate in force, the clip, and no update from non-finite gradients.

The pre-hook runs after the user's own clipping and schedule, and the post-hook restores what it changed. So schedules,
which compute each learning rate from the previous one, never see the factor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor

from .buffer_guard import BufferGuard
from .gradient_reader import GradientReader, Norms, ParameterNames
from .watched_optimizer import NO_CLIP, LearningRate, WatchedOptimizer

_MOST_LOSSES: Final = 64

# `Any`: values of parameter groups, and the arguments of a foreign `step`, have no common type.


@dataclass(slots=True)
class Update:
    """What the hooks saw at the updates of one step.

    `lr` is the rate in force, `bad` are parameters with non-finite gradients. `losses` are the scalars
    on which `backward` was called: numbers, or detached tensors on a device. `finite` is the verdict while it is still
    on the device. `scaler_skipped` is the scale of a GradScaler that skipped the update, or `None`.
    """

    count: int = 0
    lr: float = 0.0
    norms: tuple[Norms, ...] = ()
    bad: tuple[str, ...] = ()
    losses: list[float | Tensor] = field(default_factory=lambda: [])
    is_loss_bad: bool = False
    finite: Tensor | None = None
    scaler_skipped: float | None = None

    @property
    def is_skipped(self) -> bool:
        """Whether an update was suppressed, as far as the host knows."""
        return self.is_loss_bad or self.scaler_skipped is not None or bool(self.bad)

    @property
    def grad_norm(self) -> float:
        """The L2 norm of all gradients in host memory."""
        return math.hypot(*[norms.total for norms in self.norms])


class OptimizerHooks:
    """Hooks on the optimizers of one training, until `remove`.

    `on_fault` receives an exception of these hooks; they then do nothing more. `judges_closures` is False for a trainer
    that calls `judge` itself, inside the closure. `judges_losses` is False where each of several processes has its own
    loss and all have the same gradients. `on_update` is called after each update. `rehearse` is called instead of all
    else in a copy of the process that only repeats a step.
    """

    def __init__(
        self, names: ParameterNames, on_fault: Callable[[Exception], None], *, judges_closures: bool = True
    ) -> None:
        self.learning_rate = LearningRate()
        self.clip = math.inf
        self.update = Update()
        self.in_step = False
        self.num_calls = 0
        self.judges_losses = True
        self._unjudged: list[float | Tensor] = []
        self._early_clip: tuple[set[int], Tensor | None] = (set(), None)
        self.rehearse: Callable[[], None] | None = None
        self.on_update: Callable[[torch.optim.Optimizer], None] | None = None
        self.buffers = BufferGuard(names.models)
        self._num_models = len(names.models)
        self._names = names
        self._on_fault = on_fault
        self._judges_closures = judges_closures
        self._watched: dict[int, WatchedOptimizer] = {}
        self._is_removed = False

    def watch(self, optimizer: torch.optim.Optimizer) -> None:
        """Put the hooks on `optimizer`. Raises TypeError unless it is a torch optimizer."""
        if not isinstance(optimizer, torch.optim.Optimizer):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"a {type(optimizer).__name__} is no torch.optim.Optimizer")
        if id(optimizer) in self._watched:
            return
        watched = WatchedOptimizer(optimizer, GradientReader(optimizer, self._names))
        self._watched[id(optimizer)] = watched
        self._note_early_clip(watched)
        if len(self._names.models) != self._num_models:
            self._num_models = len(self._names.models)
            self.buffers = BufferGuard(self._names.models)
        watched.handles = (
            optimizer.register_step_pre_hook(self._before),
            optimizer.register_step_post_hook(self._after),
        )

    @property
    def optimizers(self) -> tuple[torch.optim.Optimizer, ...]:
        """The watched optimizers."""
        return tuple(watched.optimizer for watched in self._watched.values())

    @property
    def readers(self) -> tuple[GradientReader, ...]:
        """The readers of the watched optimizers."""
        return tuple(watched.reader for watched in self._watched.values())

    def scheduled_lr(self) -> float:
        """Return the schedule's learning rate of the first group; 0 without an optimizer."""
        first = next(iter(self._watched.values()), None)
        return first.scheduled() if first else 0.0

    def note_loss(self, loss: Tensor) -> None:
        """Keep a scalar on which `backward` is called, for the next update; one in host memory is read now."""
        try:
            if len(self.update.losses) < _MOST_LOSSES and not self._is_removed:
                kept = loss.item() if loss.is_cpu and self.rehearse is None else loss.detach()
                self.update.losses.append(kept)
                if self.judges_losses:
                    self._unjudged.append(kept)
        except Exception as error:
            self._give_up(error)

    def note_clip(self, parameters: Sequence[Tensor], total_norm: Tensor) -> None:
        """Look at the gradients before the user's own clip, which would make every one NaN if one is."""
        if self.rehearse is not None:
            self.rehearse()
        try:
            clipped = set(map(id, parameters))
            self._early_clip = (clipped, total_norm)
            for watched in self._watched.values():
                self._note_early_clip(watched)
        except Exception as error:
            self._give_up(error)

    def _note_early_clip(self, watched: WatchedOptimizer) -> None:
        """Give the newest clip to the optimizer of its parameters, which may be watched only after it."""
        clipped, total_norm = self._early_clip
        watched.reader.refresh()
        if total_norm is not None and any(id(parameter) in clipped for parameter in watched.reader.parameters[:1]):
            watched.note_clip(total_norm)
            self._early_clip = (set(), None)

    def note_scaler_skip(self, optimizer: torch.optim.Optimizer, scale: float) -> None:
        """Count an update that a GradScaler skipped because gradients had overflowed."""
        if self.rehearse is not None:
            self.rehearse()
        watched = self._watched.get(id(optimizer))
        if watched is None or self._is_removed:
            return
        try:
            watched.reader.refresh()
            self.update.count += 1
            self._unjudged = []
            self.update.lr = self.learning_rate.at(watched.scheduled())
            self.update.bad += watched.reader.bad_names(watched.reader.parameters)
            self.update.scaler_skipped = scale
            self.buffers.undo()
            if self.on_update is not None:
                self.on_update(optimizer)
        except Exception as error:
            self._give_up(error)

    def take(self) -> Update:
        """Return what was seen since the last call."""
        seen, self.update = self.update, Update()
        return seen

    def remove(self) -> None:
        """Remove the hooks and restore the learning rates."""
        self._is_removed = True
        for watched in self._watched.values():
            watched.restore()
            for handle in watched.handles:
                handle.remove()

    # --- around `optimizer.step` ----------------------------------------------------------

    def _before(self, optimizer: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._is_removed:
            return None
        try:
            return self._prepare(self._watched[id(optimizer)], args, kwargs)
        except Exception as error:  # a fault of the cockpit must not end a foreign training
            self._give_up(error)
            return None

    def _after(self, optimizer: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        watched = self._watched[id(optimizer)]
        self.in_step = False
        if self._is_removed:
            watched.restore()
            return
        try:
            is_skipped = watched.is_hidden
            if watched.is_changed:
                watched.restore()
            watched.clip = NO_CLIP  # Lightning clips after the judgement: what it says must not reach the next step
            self._settle_buffers(is_skipped=is_skipped)
            self.update.count += 1
            if self.on_update is not None:
                self.on_update(optimizer)
        except Exception as error:
            self._give_up(error)

    def _settle_buffers(self, *, is_skipped: bool) -> None:
        if self.update.finite is not None:
            self.buffers.select(self.update.finite)
        elif is_skipped:
            self.buffers.undo()
        else:
            self.buffers.keep()

    def _give_up(self, error: Exception) -> None:
        self.remove()
        self._on_fault(error)

    def _prepare(self, watched: WatchedOptimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if watched.is_changed:  # an exception in the last step may have prevented it
            watched.restore()
        self.in_step = True
        self.num_calls += 1
        closure = args[1] if len(args) > 1 else kwargs.get("closure")
        if closure is None:
            self._judge(watched)
        self._apply_rate(watched)
        if closure is None or not self._judges_closures:
            return None
        watched.back_up_if_it_searches()
        judged = self._judged_closure(watched, closure)
        if len(args) > 1:
            return (args[0], judged, *args[2:]), kwargs
        return args, {**kwargs, "closure": judged}

    def _judged_closure(self, watched: WatchedOptimizer, closure: Callable[[], Any]) -> Callable[[], Any]:
        def judged() -> Any:
            loss = closure()
            if not self._is_removed:
                try:
                    self._judge(watched)
                except Exception as error:
                    self._give_up(error)
            return loss

        return judged

    def judge(self, optimizer: torch.optim.Optimizer) -> None:
        """Look at the gradients of `optimizer` now: hide non-finite ones, and clip."""
        if self._is_removed or id(optimizer) not in self._watched:
            return
        try:
            self._judge(self._watched[id(optimizer)])
        except Exception as error:
            self._give_up(error)

    def _judge(self, watched: WatchedOptimizer) -> None:
        if self.rehearse is not None:
            self.rehearse()
        reader = watched.reader
        reader.refresh()
        if not reader.is_on_host:
            losses, self._unjudged = self._unjudged, []
            norms, finite = watched.judge_on_device(losses if num_processes() == 1 else (), self.clip)
            self.update.norms += (norms,)
            self.update.finite = finite if self.update.finite is None else self.update.finite & finite
            return
        norms = reader.read()
        clip, watched.clip = watched.clip, NO_CLIP
        divisor = watched.loss_scale()
        if clip is not NO_CLIP and clip.norm is not None and math.isfinite(clip.norm) and norms.total > 0:
            divisor *= norms.total / clip.norm  # the user has clipped: show the norm before it
        if divisor != 1.0:
            assert not isinstance(norms.squares, Tensor)
            norms.squares = [square / divisor**2 for square in norms.squares]
            norms.total /= divisor
        self.update.norms += (norms,)
        losses, self._unjudged = self._unjudged, []
        is_loss_bad = not all(map(math.isfinite, losses)) and num_processes() == 1
        if norms.bad or is_loss_bad:
            self.update.bad += clip.bad or norms.bad
            self.update.is_loss_bad |= is_loss_bad
            watched.hide_gradients()
        elif norms.total > self.clip:
            watched.scale_gradients(min(1.0, self.clip / (norms.total * divisor)))

    def _apply_rate(self, watched: WatchedOptimizer) -> None:
        if not self.update.count:
            self.update.lr = self.learning_rate.at(watched.scheduled())
        if not self.learning_rate.is_neutral:
            watched.set_rates(self.learning_rate)


def num_processes() -> int:
    """Return the number of processes that average their gradients.

    With more than one, the gradients alone decide about an update: they are equal everywhere, a loss is not.
    """
    group = torch.distributed
    return group.get_world_size() if group.is_available() and group.is_initialized() else 1
