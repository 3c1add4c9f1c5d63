"""A batch of regions of interest, and the place in the data it came from."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from engine.training.data.rejections import Rejection


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the endless shuffled stream: `index` samples of `epoch` were already drawn."""

    epoch: int = 0
    index: int = 0


@dataclass(slots=True)
class Batch:
    """N regions: RGB in 0..1, labels 0 background, 1 target, 2 other, and the target's signed distance in -1..1."""

    image_N3HW: Tensor
    label_NHW: Tensor
    distance_N1HW: Tensor
    sample_ids: tuple[str, ...]
    after: Position
    ends_epoch: bool
    rejections: tuple[Rejection, ...] = ()
    wait_seconds: float = 0.0
