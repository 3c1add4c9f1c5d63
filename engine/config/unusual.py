"""Find settings far from the named configuration that a run is based on: likely causes of instability."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from engine.config.tree import RunConfig
from engine.protocol.engine_events import Departure

_MUCH: Final = 3.0
"""Minimum factor between a rate, bound or weight and its usual value to be reported."""


def departures(config: RunConfig, usual: RunConfig) -> tuple[Departure, ...]:
    """Return the values of `config` that make a run less stable than those of `usual`, the most serious first."""
    far = ((key, value, before) for key, value, before, is_far in _compared(config, usual) if is_far)
    return tuple(Departure(key, shown(value), shown(before)) for key, value, before in far)


def shown(value: object) -> str:
    """Return a value as text for a departure."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _compared(config: RunConfig, usual: RunConfig) -> Iterator[tuple[str, object, object, bool]]:
    """Yield each key with both values, and whether they are far apart."""
    now, then = config.training, usual.training
    yield (
        "training.learning_rate",
        now.learning_rate,
        then.learning_rate,
        _raised(now.learning_rate, then.learning_rate),
    )
    yield (
        "training.gradient_clip",
        now.gradient_clip,
        then.gradient_clip,
        _raised(now.gradient_clip, then.gradient_clip),
    )
    before = usual.loss.weights
    for term, weight in config.loss.weights.items():
        yield f"loss.weights.{term}", weight, before[term], _raised(weight, before[term])
    clamp, usual_clamp = config.loss.clamp_max, usual.loss.clamp_max
    yield "loss.clamp_max", clamp, usual_clamp, _raised(clamp, usual_clamp)
    for name in sorted(config.active_components() - usual.active_components()):
        yield f"{config.SWITCHES}.{name}", True, False, True
    yield "training.optimizer", now.optimizer, then.optimizer, now.optimizer != then.optimizer
    is_half = now.mixed_precision and now.amp_dtype == "fp16" and not then.mixed_precision
    yield "training.amp_dtype", now.amp_dtype, "fp32", is_half
    yield "training.batch_size", now.batch_size, then.batch_size, now.batch_size * _MUCH <= then.batch_size
    yield "training.accumulation", now.accumulation, then.accumulation, now.accumulation * _MUCH <= then.accumulation
    warm, usual_warm = now.warmup_epochs, then.warmup_epochs
    yield "training.warmup_epochs", warm, usual_warm, warm * _MUCH <= usual_warm and warm < usual_warm


def _raised(value: float, usual: float) -> bool:
    return value >= _MUCH * usual and value > usual
