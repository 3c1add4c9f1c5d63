"""One foreign optimizer: what is changed before its update, and restored after it."""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from types import FrameType
from typing import Any, Final

import torch
from torch import Tensor

from ....protocol.record import record
from ..gradients.divided_gradients import whole
from ..gradients.gradient_norms import Norms
from ..gradients.gradient_reader import GradientReader
from ..gradients.parameter_names import ParameterNames
from ..layers.layer_watch import LayerWatch
from .device_undo import DeviceUndo, StateBefore
from .wrapped_optimizers import held_by

_FILE: Final = torch.optim.Optimizer.profile_hook_step.__code__.co_filename
"""The file of torch's wrapper around `step`, which calls the hooks."""

# `Any`: values of parameter groups have no common type.


@dataclass(slots=True)
class LearningRate:
    """The learning rate in force: the schedule's times `scale`, or from `pin` on in proportion to the schedule.

    `pin` is the rate set by hand, `reference` the schedule's rate at that moment.
    """

    scale: float = 1.0
    pin: float | None = None
    reference: float = 0.0

    def at(self, scheduled: float) -> float:
        """Return the rate in force where the schedule says `scheduled`."""
        if self.pin is None:
            return scheduled * self.scale
        if not self.reference:
            return self.pin * self.scale
        return self.pin * (scheduled / self.reference) * self.scale


@record
class Clip:
    """What was seen at the user's own clip: the norm before it, non-finite gradients, or norms still on the device."""

    norm: float | None = None
    bad: tuple[str, ...] = ()
    norms: Norms | None = None


NO_CLIP: Final = Clip()
"""The user's program has not clipped."""


class WatchedOptimizer:
    """One optimizer, and what its pre-hook changed and its post-hook restores.

    Raises TypeError unless `optimizer` is a torch optimizer.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, names: ParameterNames) -> None:
        if not isinstance(optimizer, torch.optim.Optimizer):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"a {type(optimizer).__name__} is no torch.optim.Optimizer")
        self.optimizer = optimizer
        self.reader = GradientReader(optimizer, names)
        self._handles: Sequence[Any] = ()
        self.clip = NO_CLIP
        self.is_changed = False
        """Whether `restore` has something to do."""
        self._rates: list[Any] | None = None
        self._hidden: list[tuple[Tensor, Tensor | None]] | None = None
        self._groups: list[dict[str, Any]] = []
        self._before: list[StateBefore] = []
        self.may_nest = sum("step" in vars(kind) for kind in type(optimizer).__mro__) > 2  # that of torch is one
        """Whether the optimizer's `step` may call that of a base class, with hooks of its own."""
        self._backup: tuple[list[Tensor], Mapping[str, Any]] | None = None
        self._undo = DeviceUndo(optimizer)
        self.settle_late = self._undo.settle
        """Let the verdict on the last update take effect on an accelerator; return whether it did not count."""

    @property
    def is_hidden(self) -> bool:
        """Whether the gradients are hidden, so that the update does nothing."""
        return self._hidden is not None

    def put_hooks(
        self, before: Callable[..., Any], after: Callable[..., None], before_state: Callable[..., None]
    ) -> None:
        """Let torch call `before` and `after` around each update, and `before_state` before its state is used."""
        optimizer = self.optimizer
        self._handles = (
            optimizer.register_step_pre_hook(torch.compiler.disable(before)),  # pyright: ignore[reportArgumentType]
            optimizer.register_step_post_hook(torch.compiler.disable(after)),  # pyright: ignore[reportArgumentType]
            optimizer.register_state_dict_pre_hook(before_state),
            optimizer.register_load_state_dict_pre_hook(partial(self._call, before_state)),
        )

    def _call(self, hook: Callable[..., None], *args: Any) -> None:
        """Call `hook`; torch holds this object by it, as long as the optimizer lives."""
        hook(*args)

    def release(self, *, keeps_hooks: bool) -> None:
        """Restore what was changed before an update, and remove the hooks unless torch runs over them now."""
        self.restore()
        with suppress(Exception):  # the device may be out of order
            self.settle_late()
        for handle in () if keeps_hooks else self._handles:
            handle.remove()

    @property
    def is_nested(self) -> bool:
        """Whether the hooks are called by a `step` that the optimizer's own `step` calls: that of its base class."""
        return _num_calls_of(self.optimizer, sys._getframe(2)) > 1  # pyright: ignore[reportPrivateUsage]

    def scheduled(self) -> float:
        """Return the learning rate of the first group."""
        return float(self.optimizer.param_groups[0].get("lr", 0.0))

    def note_clip(self, total_norm: Tensor) -> None:
        """Keep what the user's own clip would hide."""
        if not self.reader.is_read_now:
            self.clip = Clip(norms=self.reader.read_on_device())
        elif self.reader.is_divided:  # whatever the norm is, all processes read: each of them may have another one
            norm, before = whole(total_norm), self.reader.read()
            self.clip = Clip(before.total if norm is None else norm, before.bad)
        else:
            norm = float(total_norm)
            self.clip = Clip(norm, () if math.isfinite(norm) else self.reader.bad_names(self.reader.parameters))

    def set_rates(self, rate: LearningRate) -> None:
        """Set each group's learning rate to the one in force."""
        self.is_changed = True
        self._rates = [group.get("lr") for group in self.optimizer.param_groups]
        for group in self.optimizer.param_groups:
            scheduled = group.get("lr")
            if isinstance(scheduled, Tensor):
                group["lr"] = torch.full_like(scheduled, rate.at(float(scheduled)))
            elif scheduled is not None:
                group["lr"] = rate.at(scheduled)

    def hide_gradients(self) -> None:
        """Make the next update do nothing.

        No optimizer of torch touches a parameter without a gradient. One of another origin may ask for a gradient, or
        decay weights without one: its update is undone.
        """
        self.is_changed = True
        is_foreign = not type(self.optimizer).__module__.startswith("torch.optim.")
        if self._hidden is None:
            self._hidden = [(p, p.grad) for p in self.reader.parameters]
            self._groups = [_without_parameters(group) for group in self.optimizer.param_groups]
            if is_foreign:
                self._before = [StateBefore(self.optimizer, self.reader.parameters)]
                self._before += [StateBefore(one, ()) for one in held_by(self.optimizer)]
        for parameter in self.reader.parameters:
            if parameter.grad is not None:
                parameter.grad = torch.zeros_like(parameter.grad) if is_foreign else None

    def scale_gradients(self, factor: float) -> None:
        """Multiply all gradients by `factor`."""
        grads = [p.grad for p in self.reader.parameters if p.grad is not None]
        with torch.no_grad():
            torch._foreach_mul_(grads, factor)  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]

    def judge_barely(self, clip: float, in_all: Callable[[Tensor], Tensor]) -> None:
        """Hide non-finite gradients and scale those above `clip`, with functions of torch only.

        `in_all` returns whether a flag is True in all processes.
        """
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        total = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        norm = float(total)
        if not bool(in_all(torch.isfinite(total))):
            self.hide_gradients()
        elif norm > clip:
            self.scale_gradients(clip / norm)

    def back_up_if_it_searches(self) -> None:
        """Keep weights and state of an optimizer that evaluates its closure several times, such as LBFGS."""
        if isinstance(self.optimizer, torch.optim.LBFGS):
            self.is_changed = True
            self.reader.refresh()
            self._backup = (
                [p.detach().clone() for p in self.reader.parameters],
                copy.deepcopy(self.optimizer.state_dict()),
            )

    @property
    def takes_flag(self) -> bool:
        """Whether an update reads a flag on the device, so that nothing waits for the verdict."""
        return self._undo.takes_flag

    def guard(self, found_inf: Tensor, scale: Tensor | None) -> None:
        """Let the next update count only where `found_inf` is 0, with gradients divided by `scale` unless `None`."""
        self.is_changed = True
        self._undo.guard(self.reader.parameters, found_inf, scale)

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
        self.is_changed = False

    def _restore_hidden(self) -> None:
        hidden, self._hidden = self._hidden or [], None
        for parameter, grad in hidden:
            parameter.grad = grad
        for group, values in zip(self.optimizer.param_groups, self._groups, strict=False):
            group.update(values)
        before, self._before = self._before, []
        for one in before:
            one.restore()
        if self._backup is not None:
            self._restore_backup(*self._backup)

    @torch.no_grad()
    def _restore_backup(self, weights: Sequence[Tensor], state: Mapping[str, Any]) -> None:
        for parameter, weight in zip(self.reader.parameters, weights, strict=True):
            parameter.copy_(weight)
        self.optimizer.load_state_dict(dict(state))


@dataclass(slots=True)
class EarlyClip:
    """The newest clip of the user's own, until it is given to the optimizer of its parameters.

    That optimizer may be watched only after the clip. `clipped` are the ids of the parameters.
    """

    clipped: set[int] = field(default_factory=set[int])
    total_norm: Tensor | None = None

    def give_to(self, watched: WatchedOptimizer, layers: LayerWatch) -> None:
        """Let `watched` and `layers` look at the gradients before the clip, if it is one of their parameters."""
        watched.reader.refresh()
        if self.total_norm is not None and any(id(one) in self.clipped for one in watched.reader.parameters[:1]):
            watched.note_clip(self.total_norm)
            layers.note_gradients(watched.reader.parameters)
            self.clipped, self.total_norm = set(), None


def _without_parameters(group: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name != "params" and not isinstance(value, Tensor)}


def _num_calls_of(optimizer: torch.optim.Optimizer, frame: FrameType | None) -> int:
    """Return how often torch's own wrapper of `step` is on the stack for `optimizer`."""
    count = 0
    while frame is not None:
        if frame.f_code.co_filename == _FILE and frame.f_locals.get("self") is optimizer:
            count += frame.f_code.co_name == "wrapper"
        frame = frame.f_back
    return count
