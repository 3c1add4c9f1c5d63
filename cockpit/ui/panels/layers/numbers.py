"""The numbers of each node of the tree at the newest measurements, and the marks of those that need attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cockpit.session.history.layer_numbers import Floats, LayerWindow, totals
from cockpit.ui.panels.layers.tree import LayerTree
from engine.journal.task_meta import ACT_ZEROS, GRAD_NORM, GRAD_ZEROS, PARAMETER_MEASURES, UPDATE_RATIO, WEIGHT_NORM

MEASURES: Final[Mapping[str, tuple[str, str]]] = {
    GRAD_NORM: ("gradient", "gradient norm"),
    WEIGHT_NORM: ("weights", "weight norm"),
    UPDATE_RATIO: ("update", "update-to-weight ratio"),
    GRAD_ZEROS: ("g=0", "zeros in the gradient"),
    ACT_ZEROS: ("a=0", "zeros in the activations"),
}
"""The measures in the order of their columns, each with its heading and its name."""

DEAD: Final = "dead"
EXPLODING: Final = "exploding"

DEAD_MEASUREMENTS: Final = 3
"""Newest measurements in which a dead layer has no gradient, or hardly an activation."""
DEAD_ZEROS: Final = 0.995
"""Share of zeros in the activations from which a module counts as dead."""
EXPLOSION: Final = 10.0
"""Ratio to the median of the measurements before from which a norm counts as exploding."""
LEAST_PAST: Final = 5
"""Measurements before the newest one without which nothing counts as exploding."""
LEAST_SHARE: Final = 0.01
"""Share of the whole gradient norm below which a layer's own does not count as exploding."""


class LayerNumbers:
    """Arrays (W, N) of W measurements and N nodes by measure, and the mark of each node, an empty string for none."""

    def __init__(self, tree: LayerTree, window: LayerWindow) -> None:
        order = np.array(tree.order, np.intp)
        held = {measure: window.numbers[measure][:, order] for measure in PARAMETER_MEASURES}
        groups = [number for number, node in enumerate(tree.nodes) if node.last > node.first]
        bounds = [(tree.nodes[number].first, tree.nodes[number].last) for number in groups]
        shape = len(window.steps), len(tree.nodes)
        self.by_measure: dict[str, Floats] = {measure: np.full(shape, np.nan) for measure in MEASURES}
        for measure, found in totals(held, window.sizes[order], bounds).items():
            self.by_measure[measure][:, groups] = found
        modules = [number for number, node in enumerate(tree.nodes) if node.module >= 0]
        at = np.array([tree.nodes[number].module for number in modules], np.intp)
        self.by_measure[ACT_ZEROS][:, modules] = window.numbers[ACT_ZEROS][:, at]
        self.marks = _marks(self.by_measure)

    def newest(self, measure: str, node: int) -> float:
        """Return the newest number, NaN if the newest measurement has none."""
        return float(self.by_measure[measure][-1, node])

    def largest_first(self, measure: str, nodes: list[int]) -> list[int]:
        """Return those of `nodes` that have a newest number, in the order of these numbers."""
        values = self.by_measure[measure][-1]
        return sorted((node for node in nodes if not np.isnan(values[node])), key=lambda node: -values[node])


def _marks(numbers: Mapping[str, Floats]) -> list[str]:
    grads = numbers[GRAD_NORM]
    dead = _lately(grads == 0.0) | _lately(numbers[ACT_ZEROS] >= DEAD_ZEROS)
    exploding = _explodes(numbers[WEIGHT_NORM]) | (_explodes(grads) & _is_large(grads))
    return [EXPLODING if explodes else DEAD if dies else "" for explodes, dies in zip(exploding, dead, strict=True)]


def _lately(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which nodes have the flag in each of the newest measurements."""
    if len(flags) < DEAD_MEASUREMENTS:
        return np.zeros(flags.shape[1], np.bool_)
    return np.logical_and.reduce(flags[-DEAD_MEASUREMENTS:], axis=0)


def _explodes(norms: Floats) -> NDArray[np.bool_]:
    """Return which newest norms are infinite, or far above the median of those before."""
    newest, past = norms[-1], norms[:-1]
    there = np.isfinite(past)
    filled = np.sort(np.where(there, past, np.inf), axis=0) if len(past) else past
    count = there.sum(axis=0)
    middle = np.take_along_axis(filled, np.maximum(count - 1, 0)[None] // 2, axis=0)[0] if len(past) else newest
    return np.isposinf(newest) | ((count >= LEAST_PAST) & (newest > EXPLOSION * middle))


def _is_large(grads: Floats) -> NDArray[np.bool_]:
    """Return which newest gradient norms are not a negligible part of the largest one."""
    newest = grads[-1]
    known = newest[~np.isnan(newest)]
    return newest >= LEAST_SHARE * (known.max() if known.size else 0.0)
