"""The learning rate as a pure function of progress: linear warm-up, cosine decay to a floor, what was set by hand."""

from __future__ import annotations

import math

from engine.config import TrainingConfig
from engine.protocol.state import LrPin


def scheduled_lr(progress: float, training: TrainingConfig) -> float:
    """The configured learning rate after `progress` epochs (fractional, > 0), warm-up and cosine per step (SEED.md)."""
    if progress < training.warmup_epochs:
        return training.learning_rate * progress / training.warmup_epochs
    return _decayed(progress, training)


def _decayed(progress: float, training: TrainingConfig) -> float:
    """The cosine part: from `learning_rate` at the end of warm-up to `min_learning_rate` at the end of the run."""
    floor = min(training.min_learning_rate, training.learning_rate)
    span = max(training.epochs - training.warmup_epochs, 1e-9)
    done = min(max((progress - training.warmup_epochs) / span, 0.0), 1.0)
    return floor + (training.learning_rate - floor) * 0.5 * (1.0 + math.cos(math.pi * done))


def learning_rate(progress: float, training: TrainingConfig, *, scale: float = 1.0, pin: LrPin | None = None) -> float:
    """The learning rate in effect: the schedule, or its decay from the value set by hand (`pin`), times `scale`."""
    if pin is None:
        return scale * scheduled_lr(progress, training)
    shape = _decayed(progress, training) / _decayed(pin.at_epoch, training)
    return scale * pin.value * min(shape, 1.0)
