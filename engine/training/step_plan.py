"""Build the `StepPlan` (learning rate, active terms, weights, clip) from progress, state and config."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from engine.config.tree import RunConfig, TrainingConfig
from engine.protocol.state import LrPin, RunState


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One step's settings; `ramps` are factors in 0..1 on the learning rate of recently enabled refinements.

    `measure_shares`, `check_state` and `measure_layers` are whether this step measures gradient shares, checks all
    weights and moments, and measures every layer. `max_grad_share` 0 disables the governor. `clamped` are the terms
    bounded by `clamp_max`.
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
    )


def scheduled_lr(progress: float, training: TrainingConfig) -> float:
    """Return the configured learning rate after `progress` epochs (> 0, fractional): warm-up and cosine per step."""
    if progress < training.warmup_epochs:
        return training.learning_rate * progress / training.warmup_epochs
    return _decayed(progress, training)


def _decayed(progress: float, training: TrainingConfig) -> float:
    """Return the cosine part: from `learning_rate` after warm-up to `min_learning_rate` at the end of the run."""
    floor = min(training.min_learning_rate, training.learning_rate)
    span = max(training.epochs - training.warmup_epochs, 1e-9)
    done = min(max((progress - training.warmup_epochs) / span, 0.0), 1.0)
    return floor + (training.learning_rate - floor) * 0.5 * (1.0 + math.cos(math.pi * done))


def learning_rate(progress: float, training: TrainingConfig, *, scale: float = 1.0, pin: LrPin | None = None) -> float:
    """Return the effective learning rate: the schedule times `scale`.

    With `pin`, it is the decay from the value set by hand, times `scale`.
    """
    if pin is None:
        return scale * scheduled_lr(progress, training)
    shape = _decayed(progress, training) / _decayed(pin.at_epoch, training)
    return scale * pin.value * min(shape, 1.0)
