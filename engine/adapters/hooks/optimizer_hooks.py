"""Hooks on foreign optimizers: the learning rate in force, the clip, and no update from non-finite gradients.

The pre-hook runs after the user's own clipping and schedule, and the post-hook restores what it changed. So schedules,
which compute each learning rate from the previous one, never see the factor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import get_ident
from typing import Any

import torch
from torch import Tensor

from .buffer_guard import BufferGuard
from .gradients.parameter_names import ParameterNames
from .layers.layer_watch import LayerWatch
from .optimizers.watched_optimizer import NO_CLIP, EarlyClip, WatchedOptimizer
from .survive import Survive, untraced
from .update_judge import UpdateJudge

# `Any`: values of parameter groups, and the arguments of a foreign `step`, have no common type.


class OptimizerHooks(UpdateJudge):
    """Hooks on the optimizers of one training, until `remove`.

    `on_fault` receives an exception of these hooks; they then do nothing more. `judges_closures` is False for a trainer
    that calls `judge` itself, inside the closure. `judges_losses` is False where each of several processes has its own
    loss and all have the same gradients. `agree` returns a flag that is True only if it is in all of them, where their
    gradients may differ; `None` if they cannot. `on_update` is called after each update. `rehearse` is called instead
    of all else in a copy of the process that only repeats a step. With `stays_after_fault`, rate and clip stay in force
    after a fault, and non-finite gradients are left out, until `remove`. Only functions of torch are used then.
    `on_late_skip` is called, on an accelerator, when it is known that the last update did not count: the weights are
    still those of that step. `survive` is the context for what is done between the program and torch.
    """

    def __init__(
        self, names: ParameterNames, on_fault: Callable[[Exception], None], *, judges_closures: bool = True
    ) -> None:
        super().__init__(LayerWatch(names))
        self.in_step = False
        self.thread = get_ident()
        """The thread in which the training runs."""
        self.num_calls = 0
        self.stays_after_fault = False
        self._early_clip = EarlyClip()
        self.on_update: Callable[[torch.optim.Optimizer], None] | None = None
        self.buffers = BufferGuard(names)
        self._names = names
        self._on_fault = on_fault
        self.survive = Survive(self._give_up)
        self._judges_closures = judges_closures
        self._is_removed = self._is_bare = self._in_hook = False

    def watch(self, optimizer: torch.optim.Optimizer) -> None:
        """Put the hooks on `optimizer`.

        Raises TypeError unless it is a torch optimizer, and UserError if its parameters cannot be read.
        """
        if id(optimizer) in self._watched:
            return
        watched = WatchedOptimizer(optimizer, self._names)
        self._watched[id(optimizer)] = watched
        if watched.reader.refresh() and watched.reader.is_divided:
            self.layers.refuse("each process has a part of it only")
        self._early_clip.give_to(watched, self.layers)
        self.buffers.take_up_new()
        watched.put_hooks(self._before, self._after, self._before_state)

    @untraced
    def note_loss(self, loss: Tensor) -> None:
        """Keep a scalar on which `backward` is called, for the next update; one in host memory is read now."""
        try:
            if not self._is_removed:
                kept = loss.item() if loss.is_cpu and self.rehearse is None else loss.detach()
                if self._unjudged:
                    self.forget_thrown_away()
                self._keep_loss(kept)
        except Exception as error:  # costs a step less than a context
            self._give_up(error)

    def note_clip(self, parameters: Sequence[Tensor], total_norm: Tensor) -> None:
        """Look at the gradients before the user's own clip, which would make every one NaN if one is."""
        if self.rehearse is not None:
            self.rehearse()
        with self.survive:
            clip = self._early_clip
            clip.clipped, clip.total_norm = set(map(id, parameters)), total_norm
            for watched in self._watched.values():
                clip.give_to(watched, self.layers)

    def note_scaler_skip(self, optimizer: torch.optim.Optimizer, scale: float) -> None:
        """Count an update that a GradScaler skipped because gradients had overflowed."""
        if self.rehearse is not None:
            self.rehearse()
        watched = self._watched.get(id(optimizer))
        if watched is None or self._is_removed:
            return
        self.update.count += 1
        with self.survive:
            watched.reader.refresh()
            if self.agree is not None:  # the others may carry out this update: none will
                self.agree(torch.zeros((), dtype=torch.bool, device=watched.reader.parameters[0].device))
            self._unjudged = []
            self.update.lr = self.learning_rate.at(watched.scheduled())
            self.update.bad += watched.reader.bad_names(watched.reader.parameters)
            self.update.scaler_skipped = scale
            self.buffers.undo()
            if self.on_update is not None:
                self.on_update(optimizer)

    def settle_late(self) -> None:
        """Let the verdicts on the last updates take effect on an accelerator: no further update does it."""
        with self.survive:
            for watched in self._watched.values():
                self._settle_late(watched)

    def retire(self) -> None:
        """Do nothing more from now on. Any thread may call it, also in the middle of an update."""
        self._is_removed = True

    def remove(self) -> None:
        """Remove the hooks and restore the learning rates.

        Inside a hook they stay and do nothing: torch runs over them, and over those of the program.
        """
        self._is_removed = True
        self.layers.remove()
        for watched in self._watched.values():
            watched.release(keeps_hooks=self._in_hook)

    def _before_state(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        """Let a late verdict take effect before the state of `optimizer` is read or replaced."""
        with self.survive:
            self._settle_late(self._watched[id(optimizer)])

    # --- around `optimizer.step` ----------------------------------------------------------

    def _before(self, optimizer: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._is_removed:
            return None
        watched = self._watched[id(optimizer)]
        if watched.may_nest and watched.is_nested:
            return None
        closure = args[1] if len(args) > 1 else kwargs.get("closure")
        self._in_hook, self.in_step, self._agreed, self.thread = True, True, None, get_ident()
        try:
            if self._is_bare:
                self._prepare_barely(watched, closure is None)
                return None
            if watched.is_changed:  # an exception in the last step may have prevented it
                watched.restore()
            self.num_calls += 1
            self.update.is_searching = False
            if closure is None:
                self._judge(watched)
            self._apply_rate(watched)
            if closure is not None:
                judge = untraced(lambda: self.judge(optimizer)) if self._judges_closures else None
                if judge is not None:
                    watched.back_up_if_it_searches()
                return _with_closure(_evaluated(closure, judge, self), args, kwargs)
        except Exception as error:  # a fault of the cockpit must not end a foreign training
            self._fall_back(error, lambda: self._prepare_barely(watched, closure is None))
        finally:
            self._in_hook = False
        return None

    def _after(self, optimizer: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        watched = self._watched[id(optimizer)]
        if watched.may_nest and watched.is_nested:
            return
        self.in_step = self.update.is_searching = False
        if self._is_removed:
            watched.restore()
            return
        self._in_hook = True
        try:
            self.update.count += 1
            if self._is_bare:
                self._finish_barely(watched)
            elif watched.is_changed or self.layers.is_due or self.buffers.has_any or self.on_update is not None:
                self._finish(watched, optimizer)
            else:
                watched.clip = NO_CLIP
        except Exception as error:
            self._fall_back(error, lambda: self._finish_barely(watched))
        finally:
            self._in_hook = False

    def _finish(self, watched: WatchedOptimizer, optimizer: torch.optim.Optimizer) -> None:
        is_skipped = watched.is_changed and watched.is_hidden
        if watched.is_changed:
            watched.restore()
        if self.layers.is_due:
            self.layers.note_update()
        watched.clip = NO_CLIP  # Lightning clips after the judgement: what it says must not reach the next step
        if self.buffers.has_any:
            self.buffers.settle(self.update.finite, is_skipped=is_skipped)
        if self.on_update is not None:
            self.on_update(optimizer)

    def _fall_back(self, error: Exception, bare: Callable[[], None]) -> None:
        """Give up after a fault; where the hooks stay, do `bare` instead of what failed, the first time."""
        was_bare = self._is_bare
        self._give_up(error)
        with self.survive:
            if not (self._is_removed or was_bare):
                bare()

    def _give_up(self, error: Exception) -> None:
        if self.stays_after_fault and not self._is_bare:
            self._is_bare = True
        else:
            self.remove()
        self._on_fault(error)

    def judge(self, optimizer: torch.optim.Optimizer) -> None:
        """Look at the gradients of `optimizer` now: hide non-finite ones, and clip."""
        if self._is_removed or id(optimizer) not in self._watched:
            return
        watched = self._watched[id(optimizer)]
        try:
            if self._is_bare:
                watched.judge_barely(self.clip, self._in_all)
            else:
                self._judge(watched)
        except Exception as error:
            self._fall_back(error, lambda: watched.judge_barely(self.clip, self._in_all))


def _evaluated(
    closure: Callable[[], Any], judge: Callable[[], None] | None, hooks: OptimizerHooks
) -> Callable[[], Any]:
    """Return a closure after which gradients are judged each time; its first numbers are those of the step."""

    def call() -> Any:
        loss = closure()
        if judge is not None:
            judge()
        hooks.update.is_searching = True
        return loss

    return call


def _with_closure(
    closure: Callable[[], Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of `step` with another closure."""
    if len(args) > 1:
        return (args[0], closure, *args[2:]), kwargs
    return args, {**kwargs, "closure": closure}
