"""The shuffled order of an epoch: a function of the seed and the epoch, kind to a bounded cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

WINDOW_SCENES: Final = 128
"""Targets are shuffled among about so many randomly drawn scenes at a time."""


def epoch_order(scene_of_target: Sequence[int], *, seed: int, epoch: int) -> NDArray[np.intp]:
    """A permutation of the targets, given the scene each is in; equal arguments give equal orders.

    The scenes are shuffled and dealt into windows of about WINDOW_SCENES, and the targets are shuffled within their
    window: a picture with many people is decoded once or so in an epoch, and a batch still mixes many pictures.
    """
    rng = np.random.default_rng((seed, epoch))
    scenes, places = np.unique(np.asarray(scene_of_target), return_inverse=True)
    num_windows = max(1, round(len(scenes) / WINDOW_SCENES))
    window_of_scene = rng.permutation(len(scenes)) * num_windows // max(len(scenes), 1)
    return np.lexsort((rng.permutation(len(places)), window_of_scene[places]))
