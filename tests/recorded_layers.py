"""Recorded measurements of the layers of a small network: one layer is dead, one explodes, one is frozen."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from engine.journal.disk.schema import LAYERS
from engine.journal.task_meta import ACT_ZEROS, LAYERS_META, PARAMETER_MEASURES, LayersMeta, layer_metric
from engine.journal.transaction import StepPoints
from engine.journal.writer import JournalWriter
from engine.protocol.codec import to_json

EVERY: Final = 50
SIZES: Final = {
    "backbone.conv.weight": 36,
    "backbone.conv.bias": 4,
    "decoder.conv.weight": 1152,
    "decoder.conv.bias": 8,
    "decoder.norm.weight": 8,
    "decoder.norm.bias": 8,
    "head.weight": 24,
    "frozen.weight": 100,
}
MODULES: Final = ("backbone.conv", "backbone.relu", "decoder", "decoder.conv", "decoder.norm", "decoder.relu", "head")
EXPLODING, DEAD, FROZEN = "decoder.conv.weight", "decoder.relu", "frozen.weight"


def record_layers(journal: JournalWriter, steps: int) -> None:
    """Record what was measured in the first `steps` steps."""
    journal.set_meta(LAYERS_META, to_json(LayersMeta(EVERY, SIZES)))
    names = [layer_metric(name, measure) for measure in PARAMETER_MEASURES for name in SIZES]
    names += [layer_metric(name, ACT_ZEROS) for name in MODULES]
    numbers = list(range(1, steps, EVERY))
    rows = np.array([_row(step, is_last=step == numbers[-1]) for step in numbers], np.float32)
    points = StepPoints(numbers, [step / 50 for step in numbers], [0.0] * len(numbers), tuple(names), rows, LAYERS)
    journal.record_points(points)


def _row(step: int, *, is_last: bool) -> list[float]:
    wave, fade = math.sin(step / 70.0), math.exp(-step / 300.0)
    places = list(enumerate(SIZES, start=1))
    grads = [math.nan if name == FROZEN else 0.01 * place * (0.3 + fade) * (1.2 + wave / 3) for place, name in places]
    if is_last:
        grads[list(SIZES).index(EXPLODING)] = 4.2
    zeros = [math.nan if name == FROZEN else 0.05 * (place % 3) for place, name in places]
    weights = [0.5 * place + step / 1000 for place, _ in places]
    updates = [math.nan if name == FROZEN else 1e-3 * fade * place for place, name in places]
    outputs = [1.0 if name == DEAD else 0.5 + 0.1 * wave if "relu" in name else 0.0 for name in MODULES]
    return [*grads, *zeros, *weights, *updates, *outputs]
