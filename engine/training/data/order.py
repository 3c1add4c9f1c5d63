"""The shuffled order of an epoch: a function of seed and epoch that keeps a small cache effective."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

WINDOW_SCENES: Final = 128
"""Approximate number of random scenes among which targets are shuffled."""


def epoch_order(scene_of_target: Sequence[int], *, seed: int, epoch: int) -> NDArray[np.intp]:
    """Return a permutation of the targets, given the scene of each. Equal arguments return equal orders.

    Scenes are shuffled into windows of about WINDOW_SCENES, and targets are shuffled within a window. A picture with
    many people is decoded about once per epoch, and a batch still mixes many pictures.
    """
    rng = np.random.default_rng((seed, epoch))
    scenes, places = np.unique(np.asarray(scene_of_target), return_inverse=True)
    num_windows = max(1, round(len(scenes) / WINDOW_SCENES))
    window_of_scene = rng.permutation(len(scenes)) * num_windows // max(len(scenes), 1)
    return np.lexsort((rng.permutation(len(places)), window_of_scene[places]))
