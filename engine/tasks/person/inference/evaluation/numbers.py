"""The numbers of an evaluation: over all regions and by the size of the person, and those of each region and image.

K classes; N regions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import torch
from torch import Tensor

from engine.outputs.inference.evaluation import Cell
from engine.task import Tensors
from engine.tasks.person.metrics import (
    NUM_CLASSES,
    class_iou,
    mean_iou,
    metrics_of,
    region_scores,
    score_sums,
)

_MEANS: Final = ("miou_seed", "target_iou", "other_iou", "boundary_f", "mask_iou")
"""Numbers of a region that are averaged over an image."""


class GroupSums:
    """The sums of `Task.score` over the regions of a group."""

    def __init__(self) -> None:
        self.count = 0
        self._sums: dict[str, Tensor] = {}

    def add(self, predicted_NHW: Tensor, label_NHW: Tensor, tolerance: int) -> None:
        """Add the regions of a batch that belong to the group."""
        if not len(label_NHW):
            return
        self.count += len(label_NHW)
        for name, value in score_sums(predicted_NHW, label_NHW, tolerance).items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value

    def numbers(self) -> dict[str, float]:
        """Return the metrics; an empty dict for a group without regions."""
        sums: Tensors = self._sums
        return metrics_of(sums, self.count) if self.count else {}


def numbers_by_region(
    predicted_NHW: Tensor, label_NHW: Tensor, tolerance: int
) -> tuple[list[dict[str, float]], list[Tensor]]:
    """Return the numbers of each region, and its pixel counts by true and predicted class: (K, K)."""
    boundary_N, target_N, other_N = region_scores(predicted_NHW, label_NHW, tolerance).double().tolist()
    counts = _confusion_by_region(predicted_NHW, label_NHW)
    rows = [
        {
            "miou": mean_iou(class_iou(counts_KK)),
            "miou_seed": (target + other) / 2,
            "target_iou": target,
            "other_iou": other,
            "boundary_f": boundary,
        }
        for counts_KK, boundary, target, other in zip(counts, boundary_N, target_N, other_N, strict=True)
    ]
    return rows, counts


def _confusion_by_region(predicted_NHW: Tensor, label_NHW: Tensor) -> list[Tensor]:
    count = len(label_NHW)
    offset_N11 = torch.arange(count, device=label_NHW.device)[:, None, None] * NUM_CLASSES**2
    pairs_NHW = offset_N11 + label_NHW * NUM_CLASSES + predicted_NHW
    counts = torch.bincount(pairs_NHW.flatten(), minlength=count * NUM_CLASSES**2)
    return list(counts.reshape(count, NUM_CLASSES, NUM_CLASSES).cpu().double())


def numbers_by_image(rows: Iterable[Mapping[str, Cell]], counts: Sequence[Tensor]) -> tuple[Mapping[str, Cell], ...]:
    """Return the numbers of each image: mIoU over the pixels of its regions, and means over its regions."""
    held: dict[Cell, list[tuple[Mapping[str, Cell], Tensor]]] = {}
    for row, counts_KK in zip(rows, counts, strict=True):
        held.setdefault(row["image"], []).append((row, counts_KK))
    return tuple(_image_row(name, regions) for name, regions in held.items())


def _image_row(name: Cell, regions: Sequence[tuple[Mapping[str, Cell], Tensor]]) -> Mapping[str, Cell]:
    pixels_KK = torch.stack([counts_KK for _, counts_KK in regions]).sum(0)
    means = {
        key: math.fsum(value for row, _ in regions if isinstance(value := row[key], float)) / len(regions)
        for key in _MEANS
    }
    return {"image": name, "regions": len(regions), "miou": mean_iou(class_iou(pixels_KK)), **means}
