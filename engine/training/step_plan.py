"""Build the `StepPlan` (learning rate, active terms, weights, clip) from progress, state and config."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from engine.config.sections import TrainingConfig
from engine.config.tree import RunConfig
from engine.protocol.record import record
from engine.protocol.state import LrPin, RunState


@record
class StepPlan:
    """One step's settings; `ramps` are factors in 0..1 on the learning rate of recently enabled refinements.

    `measure_shares`, `check_state` and `measure_layers` are whether this step measures gradient shares, checks all
    weights and moments, and measures every layer. `max_grad_share` 0 disables the governor. `clamped` are the terms
    bounded by `clamp_max`. `averaged` is whether the weights after this step are taken into their average.
    """

    step: int
    lr: float
    active: frozenset[str]
    terms: tuple[str, ...]
    weights: Mapping[str, float]
    ramps: Mapping[str, float]
    clamped: frozenset[str]
    clamp_max: float
    clamp_mode: Literal["hard", "rescale"]
    gradient_clip: float
    optimizer: str
    adaptive_clip: Literal["off", "zclip", "agc"] = "off"
    measure_shares: bool = False
    max_grad_share: float = 0.0
    check_state: bool = False
    measure_layers: bool = False
    averaged: bool = False


def blend_in(step: int, enabled_at: int, num_steps: int) -> float:
    """Return the factor (0..1) at `step` of a refinement that was enabled at `enabled_at`."""
    return 1.0 if num_steps == 0 else min(1.0, (step - enabled_at + 1) / (num_steps + 1))


def plan_for(progress: float, state: RunState, config: RunConfig) -> StepPlan:
    """Return the plan of the step that ends at `progress` epochs.

    Learning rates and loss weights are set nowhere else.
    """
    steps, guard = config.loss.blend_in_steps, config.guard
    ramps = {name: blend_in(state.step, at, steps) for name, at in state.enabled_at.items()}
    spec = state.spec
    terms = spec.active_terms(state.refinements)
    return StepPlan(
        step=state.step,
        lr=learning_rate(progress, config.training, scale=state.lr_scale, pin=state.lr_pin),
        active=state.refinements,
        terms=terms,
        weights={t: state.loss_weights[t] * ramps.get(spec.component_of(t), 1.0) for t in terms},
        ramps=ramps,
        clamped=spec.clamped_terms(),
        clamp_max=config.loss.clamp_max,
        clamp_mode=config.loss.clamp_mode,
        gradient_clip=state.gradient_clip,
        optimizer=state.optimizer,
        adaptive_clip=guard.adaptive_clip,
        measure_shares=guard.share_every_steps > 0 and state.step % guard.share_every_steps == 0,
        max_grad_share=guard.max_grad_share,
        check_state=state.step % guard.check_weights_every == 0,
        measure_layers=config.layers.every_steps > 0 and state.step % config.layers.every_steps == 0,
        averaged=_enters_average(progress, state.step, config.training),
    )


def _enters_average(progress: float, step: int, training: TrainingConfig) -> bool:
    """Return whether the weights after the step that ends at `progress` epochs are taken into their average."""
    if training.averaging == "swa":
        return progress >= training.swa_start * training.epochs and step % training.swa_every_steps == 0
    return training.averaging == "ema"


def scheduled_lr(progress: float, training: TrainingConfig) -> float:
    """Return the configured learning rate after `progress` epochs (> 0, fractional), which each step computes."""
    rising = _rise_epochs(training)
    if progress >= rising:
        return _decayed(progress, training)
    if training.schedule == "one_cycle":
        start = training.learning_rate / training.one_cycle.div_factor
        return _annealed(start, training.learning_rate, progress / rising)
    return training.learning_rate * progress / rising


def _rise_epochs(training: TrainingConfig) -> float:
    """Return the epochs until the highest learning rate is reached."""
    if training.schedule == "one_cycle":
        return training.one_cycle.pct_start * training.epochs
    return training.warmup_epochs


def _decayed(progress: float, training: TrainingConfig) -> float:
    """Return the falling part: from `learning_rate` after the rise to the lowest one at the end of the run."""
    rising, floor = _rise_epochs(training), min(training.min_learning_rate, training.learning_rate)
    if training.schedule == "one_cycle":
        cycle = training.one_cycle
        floor = training.learning_rate / cycle.div_factor / cycle.final_div_factor
    span = max(training.epochs - rising, 1e-9)
    return _annealed(training.learning_rate, floor, min(max((progress - rising) / span, 0.0), 1.0))


def _annealed(start: float, end: float, done: float) -> float:
    """Return the value between `start` and `end` on half a cosine, of which the fraction `done` is over."""
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * done))


def learning_rate(progress: float, training: TrainingConfig, *, scale: float = 1.0, pin: LrPin | None = None) -> float:
    """Return the effective learning rate: the schedule times `scale`.

    With `pin`, it is the decay from the value set by hand, times `scale`. A value that was set at the very end of a
    decay to zero, before a rollback, does not decay.
    """
    if pin is None:
        return scale * scheduled_lr(progress, training)
    reference = _decayed(pin.at_epoch, training)
    shape = _decayed(progress, training) / reference if reference else 1.0
    return scale * pin.value * min(shape, 1.0)
