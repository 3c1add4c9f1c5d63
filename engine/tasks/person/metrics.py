"""Scores of the person task: dataset-level IoU of each class, and boundary F of the target.

K = 3 classes; N regions; H x W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.task import Tensors
from engine.tasks.person.spec import CLASSES

NUM_CLASSES = len(CLASSES)


def score_sums(predicted_NHW: Tensor, label_NHW: Tensor, tolerance: int) -> Tensors:
    """Return sums that add up over a split: pixel counts by true and predicted class, and the sum of boundary F."""
    return {
        "confusion_KK": confusion_matrix(label_NHW, predicted_NHW),
        "boundary": boundary_f(label_NHW, predicted_NHW, tolerance).cpu().double().sum(),
    }


def metrics_of(sums: Tensors, count: int) -> dict[str, float]:
    """Return mIoU, each class's IoU and the mean boundary F, all in 0..1, over `count` regions."""
    iou = class_iou(sums["confusion_KK"])
    by_class = {f"iou_{name}": value for name, value in zip(CLASSES, iou, strict=True)}
    return {"miou": mean_iou(iou), **by_class, "boundary_f": float(sums["boundary"]) / count}


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


def target_errors(predicted_NHW: Tensor, label_NHW: Tensor) -> Tensor:
    """Return 1 - IoU of the target in each region: (N,), 0..1; 0 for a target neither present nor predicted."""
    seen_NHW, true_NHW = predicted_NHW == 1, label_NHW == 1
    hit_N = (seen_NHW & true_NHW).flatten(1).sum(1)
    union_N = (seen_NHW | true_NHW).flatten(1).sum(1)
    return torch.where(union_N == 0, 0.0, 1 - hit_N / union_N.clamp(min=1))


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
