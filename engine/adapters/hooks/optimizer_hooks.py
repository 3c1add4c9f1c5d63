"""Hooks on foreign optimizers: the learning rate in force, the clip, and no update from non-finite gradients.

The pre-hook runs after the user's own clipping and schedule, and the post-hook restores what it changed. So schedules,
which compute each learning rate from the previous one, never see the factor.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor

from .buffer_guard import BufferGuard
from .device_undo import DeviceUndo
from .gradient_reader import GradientReader, Norms, ParameterNames

_MOST_LOSSES: Final = 64

# `Any`: values of parameter groups, and the arguments of a foreign `step`, have no common type.


@dataclass(slots=True)
class LearningRate:
    """The learning rate in force: the schedule's times `scale`, or from `pin` on in proportion to the schedule.

    `pin` is the rate set by hand, `reference` the schedule's rate at that moment.
    """

    scale: float = 1.0
    pin: float | None = None
    reference: float = 0.0

    @property
    def is_neutral(self) -> bool:
        """Whether the schedule's rate is in force."""
        return self.scale == 1.0 and self.pin is None

    def at(self, scheduled: float) -> float:
        """Return the rate in force where the schedule says `scheduled`."""
        if self.pin is None:
            return scheduled * self.scale
        if not self.reference:
            return self.pin * self.scale
        return self.pin * (scheduled / self.reference) * self.scale


@dataclass(slots=True)
class Update:
    """What the hooks saw at the updates of one step.

    `lr` is the rate in force, `bad` are parameters with non-finite gradients. `losses` are the scalars
    on which `backward` was called, detached. `finite` is the verdict while it is still
    on the device. `scaler_skipped` is the scale of a GradScaler that skipped the update, or `None`.
    """

    count: int = 0
    lr: float = 0.0
    norms: list[Norms] = field(default_factory=lambda: [])
    bad: tuple[str, ...] = ()
    losses: list[Tensor] = field(default_factory=lambda: [])
    is_loss_bad: bool = False
    finite: Tensor | None = None
    scaler_skipped: float | None = None

    @property
    def is_skipped(self) -> bool:
        """Whether an update was suppressed, as far as the host knows."""
        return bool(self.bad) or self.is_loss_bad or self.scaler_skipped is not None

    @property
    def grad_norm(self) -> float:
        """The L2 norm of all gradients in host memory."""
        return math.sqrt(sum(norms.total**2 for norms in self.norms))


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
        self._unjudged: list[Tensor] = []
        self._early_clip: tuple[set[int], Tensor | None] = (set(), None)
        self.rehearse: Callable[[], None] | None = None
        self.on_update: Callable[[torch.optim.Optimizer], None] | None = None
        self.buffers = BufferGuard(names.models)
        self._num_models = len(names.models)
        self._names = names
        self._on_fault = on_fault
        self._judges_closures = judges_closures
        self._watched: dict[int, _Watched] = {}
        self._is_removed = False

    def watch(self, optimizer: torch.optim.Optimizer) -> None:
        """Put the hooks on `optimizer`. Raises TypeError unless it is a torch optimizer."""
        if not isinstance(optimizer, torch.optim.Optimizer):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"a {type(optimizer).__name__} is no torch.optim.Optimizer")
        if id(optimizer) in self._watched:
            return
        watched = _Watched(optimizer, GradientReader(optimizer, self._names))
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

    def scheduled_lr(self) -> float:
        """Return the schedule's learning rate of the first group; 0 without an optimizer."""
        first = next(iter(self._watched.values()), None)
        return first.scheduled() if first else 0.0

    def weight_norms(self) -> dict[str, float]:
        """Return the L2 norm of the weights of each part, of parameters in host memory."""
        found: dict[str, float] = {}
        for watched in self._watched.values():
            watched.reader.refresh()
            if watched.reader.is_on_host:
                for part, norm in watched.reader.weight_norms().items():
                    found[part] = math.hypot(found.get(part, 0.0), norm)
        return found

    def note_loss(self, loss: Tensor) -> None:
        """Keep a scalar on which `backward` is called, for the next update."""
        if len(self.update.losses) < _MOST_LOSSES:
            self.update.losses.append(loss)
            if self.judges_losses:
                self._unjudged.append(loss)

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

    def _note_early_clip(self, watched: _Watched) -> None:
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
            watched.restore()
            watched.clip = Clip()  # Lightning clips after the judgement: what it says must not reach the next step
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

    def _prepare(self, watched: _Watched, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        watched.restore()  # an exception in the last step may have prevented it
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

    def _judged_closure(self, watched: _Watched, closure: Callable[[], Any]) -> Callable[[], Any]:
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

    def _judge(self, watched: _Watched) -> None:
        if self.rehearse is not None:
            self.rehearse()
        reader = watched.reader
        reader.refresh()
        if not reader.is_on_host:
            self._judge_on_device(watched)
            return
        norms = reader.read()
        clip, watched.clip = watched.clip, Clip()
        divisor = watched.loss_scale()
        if clip.norm is not None and math.isfinite(clip.norm) and norms.total > 0:
            divisor *= norms.total / clip.norm  # the user has clipped: show the norm before it
        if divisor != 1.0:
            assert not isinstance(norms.squares, Tensor)
            norms.squares = [square / divisor**2 for square in norms.squares]
            norms.total /= divisor
        self.update.norms.append(norms)
        losses, self._unjudged = self._unjudged, []
        is_loss_bad = not all(math.isfinite(loss) for loss in losses)
        if norms.bad or is_loss_bad:
            self.update.bad += clip.bad or norms.bad
            self.update.is_loss_bad |= is_loss_bad
            watched.hide_gradients()
        elif norms.total > self.clip:
            watched.scale_gradients(min(1.0, self.clip / (norms.total * divisor)))

    def _judge_on_device(self, watched: _Watched) -> None:
        """Decide on the device whether the update counts, without waiting for it."""
        norms, watched.clip = watched.clip.norms or watched.reader.read_on_device(), Clip()
        assert isinstance(norms.squares, Tensor)
        total = norms.squares.sum().sqrt()
        losses, self._unjudged = self._unjudged, []
        finite = torch.isfinite(torch.stack([total, *(loss.float() for loss in losses)])).all()
        self.update.norms.append(norms)
        self.update.finite = finite if self.update.finite is None else self.update.finite & finite
        scale = torch.clamp(total / self.clip, min=1.0) if math.isfinite(self.clip) else None
        watched.guard_on_device(finite, scale)

    def _apply_rate(self, watched: _Watched) -> None:
        if not self.update.count:
            self.update.lr = self.learning_rate.at(watched.scheduled())
        if not self.learning_rate.is_neutral:
            watched.set_rates(self.learning_rate)


@dataclass(slots=True)
class Clip:
    """What was seen at the user's own clip: the norm before it, non-finite gradients, or norms still on the device."""

    norm: float | None = None
    bad: tuple[str, ...] = ()
    norms: Norms | None = None


class _Watched:
    """One optimizer, and what its pre-hook changed and its post-hook restores."""

    def __init__(self, optimizer: torch.optim.Optimizer, reader: GradientReader) -> None:
        self.optimizer = optimizer
        self.reader = reader
        self.handles: Sequence[Any] = ()
        self.clip = Clip()
        self._rates: list[Any] | None = None
        self._hidden: list[tuple[Tensor, Tensor | None]] | None = None
        self._groups: list[dict[str, Any]] = []
        self._backup: tuple[list[Tensor], Mapping[str, Any]] | None = None
        self._undo = DeviceUndo(optimizer)

    @property
    def is_hidden(self) -> bool:
        """Whether the gradients are hidden, so that the update does nothing."""
        return self._hidden is not None

    def scheduled(self) -> float:
        """Return the learning rate of the first group."""
        return float(self.optimizer.param_groups[0].get("lr", 0.0))

    def loss_scale(self) -> float:
        """Return the factor of the gradients under a GradScaler that leaves them to the fused kernel."""
        scale = getattr(self.optimizer, "grad_scale", None)
        return float(scale) if scale is not None else 1.0

    def note_clip(self, total_norm: Tensor) -> None:
        """Keep what the user's own clip would hide."""
        if not self.reader.is_on_host:
            self.clip = Clip(norms=self.reader.read_on_device())
            return
        norm = float(total_norm)
        self.clip = Clip(norm, () if math.isfinite(norm) else self.reader.bad_names(self.reader.parameters))

    def set_rates(self, rate: LearningRate) -> None:
        """Set each group's learning rate to the one in force."""
        self._rates = [group.get("lr") for group in self.optimizer.param_groups]
        for group in self.optimizer.param_groups:
            scheduled = group.get("lr")
            if isinstance(scheduled, Tensor):
                group["lr"] = torch.full_like(scheduled, rate.at(float(scheduled)))
            elif scheduled is not None:
                group["lr"] = rate.at(scheduled)

    def hide_gradients(self) -> None:
        """Make the next update do nothing: no optimizer touches a parameter without a gradient."""
        if self._hidden is None:
            self._hidden = [(p, p.grad) for p in self.reader.parameters]
            self._groups = [_without_parameters(group) for group in self.optimizer.param_groups]
        for parameter in self.reader.parameters:
            parameter.grad = None

    def scale_gradients(self, factor: float) -> None:
        """Multiply all gradients by `factor`."""
        grads = [p.grad for p in self.reader.parameters if p.grad is not None]
        with torch.no_grad():
            torch._foreach_mul_(grads, factor)  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]

    def back_up_if_it_searches(self) -> None:
        """Keep weights and state of an optimizer that evaluates its closure several times, such as LBFGS."""
        if isinstance(self.optimizer, torch.optim.LBFGS):
            self.reader.refresh()
            self._backup = (
                [p.detach().clone() for p in self.reader.parameters],
                copy.deepcopy(self.optimizer.state_dict()),
            )

    def guard_on_device(self, finite: Tensor, scale: Tensor | None) -> None:
        """Let the update count only if `finite`, decided on the device; divide the gradients by `scale`."""
        self._undo.guard(self.reader.parameters, finite, scale)

    def restore(self) -> None:
        """Restore learning rates, gradients and, after a suppressed update, everything else that it changed."""
        if self._rates is not None:
            for group, rate in zip(self.optimizer.param_groups, self._rates, strict=False):
                if rate is not None:
                    group["lr"] = rate
            self._rates = None
        if self._hidden is not None:
            self._restore_hidden()
        self._backup = None
        self._undo.finish()

    def _restore_hidden(self) -> None:
        hidden, self._hidden = self._hidden or [], None
        for parameter, grad in hidden:
            parameter.grad = grad
        for group, before in zip(self.optimizer.param_groups, self._groups, strict=False):
            group.update(before)
        if self._backup is not None:
            weights, state = self._backup
            with torch.no_grad():
                for parameter, weight in zip(self.reader.parameters, weights, strict=True):
                    parameter.copy_(weight)
            self.optimizer.load_state_dict(dict(state))


def _without_parameters(group: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name != "params" and not isinstance(value, Tensor)}
