"""Scores of the person task: IoU over the whole data set and region by region, and boundary F of the target.

All of them are taken inside the people's boxes, whatever a region shows around its box. K = 3 classes; N regions;
H x W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.task import Tensors
from engine.tasks.person.config import PersonDataConfig
from engine.tasks.person.spec import CLASSES

NUM_CLASSES = len(CLASSES)


def score_sums(predicted_NHW: Tensor, label_NHW: Tensor, tolerance: int) -> Tensors:
    """Return sums that add up over a split: pixel counts by true and predicted class, and sums of region scores."""
    boundary, target, other = region_scores(predicted_NHW, label_NHW, tolerance).cpu().double()
    return {
        "confusion_KK": confusion_matrix(label_NHW, predicted_NHW),
        "boundary": boundary.sum(),
        "target_iou": target.sum(),
        "other_iou": other.sum(),
    }


def region_scores(predicted_NHW: Tensor, label_NHW: Tensor, tolerance: int) -> Tensor:
    """Return each region's boundary F, IoU of the target and IoU of other people: (3, N), 0..1."""
    boundary_N = boundary_f(label_NHW, predicted_NHW, tolerance)
    return torch.stack([boundary_N, *(region_iou(label_NHW, predicted_NHW, number) for number in (1, 2))])


def metrics_of(sums: Tensors, count: int) -> dict[str, float]:
    """Return the metrics of the spec over `count` regions, in 0..1; NaN for a class that does not occur."""
    iou = class_iou(sums["confusion_KK"])
    by_class = {f"iou_{name}": value for name, value in zip(CLASSES, iou, strict=True)}
    target, other = (float(sums[name]) / count for name in ("target_iou", "other_iou"))
    return {
        "miou": mean_iou(iou),
        **by_class,
        "boundary_f": float(sums["boundary"]) / count,
        "miou_seed": (target + other) / 2,
        "target_iou": target,
    }


def scored_classes(predicted_NHW: Tensor, batch: Tensors, data: PersonDataConfig) -> tuple[Tensor, Tensor]:
    """Return the predicted and the true classes inside the boxes. Regions without context are the boxes themselves."""
    if not (data.roi_padding or data.keep_aspect):
        return predicted_NHW, batch["label_NHW"]
    return in_box(predicted_NHW, batch["box_N4"]), in_box(batch["label_NHW"], batch["box_N4"])


def in_box(classes_NHW: Tensor, box_N4: Tensor) -> Tensor:
    """Return the classes in the box of each region, as large as the region was: each pixel has the nearest one's class.

    `box_N4` has left, top, right and bottom as fractions of the region. A box of the whole region changes nothing.
    """
    _, height, width = classes_NHW.shape
    left_N1, top_N1, right_N1, bottom_N1 = box_N4.split(1, dim=1)
    row_NH = _bins(top_N1, bottom_N1, height)
    column_NW = _bins(left_N1, right_N1, width)
    rows_NHW = classes_NHW.gather(1, row_NH.unsqueeze(2).expand(-1, -1, width))
    return rows_NHW.gather(2, column_NW.unsqueeze(1).expand(-1, height, -1))


def _bins(low_N1: Tensor, high_N1: Tensor, count: int) -> Tensor:
    """Return for each of `count` equal steps from `low` to `high` the bin of the region that has its centre."""
    centre_L = (torch.arange(count, device=low_N1.device, dtype=low_N1.dtype) + 0.5) / count
    return ((low_N1 + centre_L * (high_N1 - low_N1)) * count).long().clamp(0, count - 1)


def confusion_matrix(label: Tensor, predicted: Tensor) -> Tensor:
    """Return (K, K) float64 pixel counts on the CPU: rows are true classes, columns are predicted classes."""
    pairs = label.flatten() * NUM_CLASSES + predicted.flatten()
    return torch.bincount(pairs, minlength=NUM_CLASSES**2).reshape(NUM_CLASSES, NUM_CLASSES).cpu().double()


def class_iou(confusion_KK: Tensor) -> list[float]:
    """Return the IoU of each class over the whole data set; NaN for a class neither present nor predicted."""
    hit_K = confusion_KK.diagonal()
    union_K = confusion_KK.sum(0) + confusion_KK.sum(1) - hit_K
    return (hit_K / union_K).tolist()


def mean_iou(iou: Sequence[float]) -> float:
    """Return the mean IoU over the classes that occur in the labels or in the predictions."""
    there = [value for value in iou if not math.isnan(value)]
    return sum(there) / len(there) if there else math.nan


def region_iou(label_NHW: Tensor, predicted_NHW: Tensor, number: int) -> Tensor:
    """Return the IoU of class `number` in each region: (N,), 0..1; 1 where it is neither present nor predicted."""
    true_NHW, seen_NHW = label_NHW == number, predicted_NHW == number
    both_N, either_N = (true_NHW & seen_NHW).sum((1, 2)), (true_NHW | seen_NHW).sum((1, 2))
    return torch.where(either_N == 0, 1.0, both_N / either_N.clamp(min=1))


def mask_boundary(mask_N1HW: Tensor) -> Tensor:
    """Return the pixels of each mask (0 or 1) that share an edge with its outside.

    The frame of the region does not count as outside.
    """
    eroded = -F.max_pool2d(-mask_N1HW, (3, 1), 1, (1, 0))
    eroded = torch.minimum(eroded, -F.max_pool2d(-mask_N1HW, (1, 3), 1, (0, 1)))
    return mask_N1HW - eroded


def boundary_f(label_NHW: Tensor, predicted_NHW: Tensor, tolerance: int) -> Tensor:
    """Return boundary F of the target in each region: (N,), 0..1.

    It combines precision and recall of contour pixels within `tolerance` pixels. Source: Perazzi et al., A Benchmark
    Dataset and Evaluation Methodology for Video Object Segmentation, 2016.
    """
    true_N1HW = mask_boundary((label_NHW == 1).float().unsqueeze(1))
    seen_N1HW = mask_boundary((predicted_NHW == 1).float().unsqueeze(1))
    size = 2 * tolerance + 1
    precision_N = _covered(seen_N1HW, F.max_pool2d(true_N1HW, size, 1, tolerance))
    recall_N = _covered(true_N1HW, F.max_pool2d(seen_N1HW, size, 1, tolerance))
    return 2 * precision_N * recall_N / (precision_N + recall_N).clamp(min=1e-9)


def _covered(contour_N1HW: Tensor, band_N1HW: Tensor) -> Tensor:
    """Return the share of contour pixels inside a band, 0..1.

    A region without contour has 1 if the band is empty too, else 0.
    """
    length_N = contour_N1HW.sum((1, 2, 3))
    empty_N = (length_N == 0) & (band_N1HW.sum((1, 2, 3)) == 0)
    return torch.where(empty_N, 1.0, (contour_N1HW * band_N1HW).sum((1, 2, 3)) / length_N.clamp(min=1))
