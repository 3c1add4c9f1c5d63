"""Judge the gradients of a foreign optimizer before its update: their norms, the clip, and whether all are finite."""

from __future__ import annotations

import math
from collections.abc import Callable, MutableMapping
from typing import Final
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from .device_gradients import judge_late, read_waiting
from .gradients.gradient_reader import GradientReader
from .layers.layer_watch import LayerWatch
from .optimizers.watched_optimizer import NO_CLIP, LearningRate, WatchedOptimizer
from .update import Update

_MOST_LOSSES: Final = 64


class UpdateJudge:
    """The learning rate and the clip in force, and what was seen at the updates of the newest step: `update`.

    `judges_losses`, `agree`, `rehearse` and `on_late_skip` are explained in `OptimizerHooks`.
    """

    def __init__(self, layers: LayerWatch) -> None:
        self.layers = layers
        self.learning_rate = LearningRate()
        self.clip = math.inf
        self.update = Update()
        self.judges_losses = True
        self.agree: Callable[[Tensor], Tensor] | None = None
        self._agreed: Tensor | None = None
        self.rehearse: Callable[[], None] | None = None
        self.on_late_skip: Callable[[], None] | None = None
        self.num_losses = 0
        """How often `backward` was called on a scalar."""
        self._unjudged: list[float | Tensor] = []
        self._watched: MutableMapping[int, WatchedOptimizer] = {}
        self.late: list[torch.optim.Optimizer] = []
        """Optimizers that were found in the midst of the training: a program that resumes has not made them yet."""

    def hold_weakly(self) -> None:
        """Let an optimizer end when the program no longer has it; call this before the first one is watched."""
        self._watched = WeakValueDictionary()

    @property
    def optimizers(self) -> tuple[torch.optim.Optimizer, ...]:
        """The watched optimizers that checkpoints hold."""
        return tuple(watched.optimizer for watched in self._watched.values() if watched.optimizer not in self.late)

    @property
    def readers(self) -> tuple[GradientReader, ...]:
        """The readers of the watched optimizers."""
        return tuple(watched.reader for watched in self._watched.values())

    def scheduled_lr(self) -> float:
        """Return the schedule's learning rate of the first group; 0 without an optimizer."""
        return next((watched.scheduled() for watched in self._watched.values()), 0.0)

    def take(self) -> Update:
        """Return what was seen since the last call."""
        seen, self.update = self.update, Update()
        if late := len(self._unjudged):  # the next update will use their gradients
            self.update.losses, seen.losses = seen.losses[-late:], seen.losses[:-late]
            self.update.num_passed = late
        layers = self.layers
        if layers.num_idle:
            layers.num_idle -= 1
        else:
            seen.histograms = layers.take_histograms()
            seen.layers = layers.take()
        return seen

    def pass_batch(self) -> None:
        """Note the end of a batch without an update."""
        self.update.num_passed, self.update.is_restarted = len(self._unjudged), False

    def forget_thrown_away(self) -> None:
        """Forget losses whose gradients the program has thrown away, as it may do with a bad batch.

        Finite ones of this batch still count as losses of the step: their gradients may be kept in another place.
        """
        unjudged, update = self._unjudged, self.update
        parameters = [parameter for reader in self.readers for parameter in reader.parameters]
        if not (unjudged and parameters):
            return
        is_good = [isinstance(loss, float) and math.isfinite(loss) for loss in unjudged]
        if all(is_good):
            is_kept = any(p.grad is not None for p in parameters)
        else:
            is_kept = any(p.grad is not None and not (p.is_cpu and not p.grad.any()) for p in parameters)
        if is_kept:
            return
        passed = 0 if update.count else update.num_passed
        good = [loss for number, loss in enumerate(unjudged) if is_good[number] and number >= passed]
        update.losses[len(update.losses) - len(unjudged) :] = good
        self._unjudged, update.num_passed, update.is_restarted = [], 0, True

    def _keep_loss(self, loss: float | Tensor) -> None:
        """Keep a loss for the next update."""
        self.num_losses += 1
        if len(self.update.losses) >= _MOST_LOSSES:
            self._add_up_losses()
        if self.judges_losses:
            self._unjudged.append(loss)
        if self.update.counts(loss):
            self.update.losses.append(loss)

    def _add_up_losses(self) -> None:
        """Replace the losses of many batches by their sums: of those that were judged, and of those that were not."""
        losses, late = self.update.losses, len(self._unjudged)
        judged = losses[: len(losses) - late]
        sums = [sum(part[1:], part[0]) for part in (judged, self._unjudged) if part]
        losses[:] = sums
        self._unjudged = sums[-1:] if late else []
        self.update.num_passed = 0

    def _judge(self, watched: WatchedOptimizer) -> None:
        if self.rehearse is not None:
            self.rehearse()
        reader = watched.reader
        if not reader.refresh():
            self._settle_late(watched)
            self._judge_on_device(watched)
            return
        norms = reader.read()
        scale = watched.optimizer.__dict__.get("grad_scale")  # of a GradScaler that leaves them to the fused kernel
        divisor = 1.0 if scale is None else float(scale)
        clip = watched.clip
        if clip is not NO_CLIP:
            watched.clip = NO_CLIP
            if clip.norm is not None and math.isfinite(clip.norm) and norms.total > 0:
                divisor *= norms.total / clip.norm  # the user has clipped: show the norm before it
        if divisor != 1.0:
            norms.squares = [square / divisor**2 for square in norms.squares]
            norms.total /= divisor
        if self.layers.is_due:
            self.layers.note_gradients(reader.parameters, divisor)
        update = self.update
        update.add_norms(norms)
        is_bad = bool(norms.bad)
        if self._unjudged and self._has_bad_loss():
            is_bad = update.is_loss_bad = True
        if (is_bad or self.agree is not None) and not self._counts_everywhere(is_bad=is_bad, watched=watched):
            update.is_bad_elsewhere |= not is_bad
            update.bad += clip.bad or norms.bad
            watched.hide_gradients()
        elif norms.total > self.clip:
            watched.scale_gradients(min(1.0, self.clip / (norms.total * divisor)))

    def _judge_on_device(self, watched: WatchedOptimizer) -> None:
        """Judge gradients on an accelerator: there, or with a single wait if the optimizer takes no flag."""
        reader, update = watched.reader, self.update
        self.layers.note_gradients(reader.parameters)
        losses, self._unjudged = self._unjudged if self._is_loss_known else [], []
        if watched.takes_flag:
            norms, finite = judge_late(watched, losses, self.clip, self._in_all if self.agree else None)
            self.update.add_norms(norms)
            update.finite = finite if update.finite is None else update.finite & finite
            return
        norms, factor, is_loss_finite = read_waiting(watched, losses, self.clip)
        self.update.add_norms(norms)
        update.is_loss_bad |= not is_loss_finite
        is_bad = bool(norms.bad) or not is_loss_finite
        if (is_bad or self.agree is not None) and not self._counts_everywhere(is_bad=is_bad, watched=watched):
            update.is_bad_elsewhere |= not is_bad
            update.bad += norms.bad
            watched.hide_gradients()
        elif factor < 1.0:
            watched.scale_gradients(factor)

    def _settle_late(self, watched: WatchedOptimizer) -> None:
        """Let the verdict on the last update take effect, which an accelerator gave after the update had returned."""
        if watched.settle_late() and self.on_late_skip is not None:
            self.on_late_skip()

    def _has_bad_loss(self) -> bool:
        """Return whether a loss of the step decides against its update."""
        losses, self._unjudged = self._unjudged, []
        return self._is_loss_known and not all(map(math.isfinite, losses))

    @property
    def _is_loss_known(self) -> bool:
        """Whether a loss may decide about an update: it does so in all processes."""
        return self.agree is not None or num_processes() == 1

    def _counts_everywhere(self, *, is_bad: bool, watched: WatchedOptimizer) -> bool:
        """Return whether an update that `is_bad` here or not is carried out, in all processes."""
        if self.agree is None:
            return not is_bad
        return bool(self._in_all(torch.tensor(not is_bad, device=watched.reader.parameters[0].device)))

    def _in_all(self, finite: Tensor) -> Tensor:
        """Return the flag of an update that is True only if it is in all processes, which are asked once for each."""
        if self.agree is None:
            return finite
        if self._agreed is None:
            self._agreed = self.agree(finite)
        return finite & self._agreed

    def _prepare_barely(self, watched: WatchedOptimizer, is_plain: bool) -> None:
        """Prepare an update after a fault; `is_plain` is whether it has no closure."""
        if watched.is_changed:
            watched.restore()
        if is_plain:
            watched.judge_barely(self.clip, self._in_all)
        self._apply_rate(watched)

    def _finish_barely(self, watched: WatchedOptimizer) -> None:
        """Finish an update after a fault. The other processes must not wait for a judgement that was not made."""
        watched.restore()
        if self._agreed is None:
            self._in_all(torch.ones((), dtype=torch.bool, device=watched.reader.parameters[0].device))

    def _apply_rate(self, watched: WatchedOptimizer) -> None:
        rate, update = self.learning_rate, self.update
        is_schedules = rate.scale == 1.0 and rate.pin is None
        if not update.count:
            update.lr = watched.scheduled() if is_schedules else rate.at(watched.scheduled())
        if not is_schedules:
            watched.set_rates(rate)


def num_processes() -> int:
    """Return the number of processes that average their gradients.

    With more than one, the gradients alone decide about an update: they are equal everywhere, a loss is not.
    """
    group = torch.distributed
    return group.get_world_size() if group.is_available() and group.is_initialized() else 1
