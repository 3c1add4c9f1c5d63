"""Validation: dataset-level IoU of each class, boundary F of the target, and every loss term.

K = 3 classes; N regions; H x W pixels.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from engine.config.tree import ClassWeights
from engine.outputs.preview_file import Preview
from engine.protocol.events import AlertRaised, ValidationCompleted
from engine.tasks.person.losses.terms import term_values
from engine.tasks.person.model.network import HierarchicalUNet, Outputs
from engine.tasks.person.spec import CLASSES, active_terms
from engine.training.data.batch import Batch, Position
from engine.training.data.stream import BatchStream

NUM_CLASSES = len(CLASSES)
_MOST_NAMED = 6


@dataclass(frozen=True, slots=True)
class Validation:
    """The summary, the mean of every raw loss term, a few regions to look at, and the samples of non-finite batches."""

    summary: ValidationCompleted
    terms: Mapping[str, float]
    previews: tuple[Preview, ...]
    bad_samples: tuple[str, ...] = ()

    def doubt(self, step: int) -> AlertRaised | None:
        """What to say of a validation at `step` that was not finite, None where it was."""
        if math.isfinite(self.summary.loss):
            return None
        terms = ", ".join(term for term, value in self.terms.items() if not math.isfinite(value)) or "the loss"
        more = len(self.bad_samples) - _MOST_NAMED
        listed = ", ".join(self.bad_samples[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
        return AlertRaised(
            "validation",
            f"the validation at step {step} is not finite in {terms}: its mIoU says nothing; the batches hold {listed}",
            "disable mixed precision where it is on, look at these samples, or roll back to the last good checkpoint",
            at_step=step,
        )


@dataclass(frozen=True, slots=True)
class ValidationPlan:
    """What a validation computes: refinements that are on, loss weights, regions at a time, the boundary's tolerance
    in pixels, how many regions to show, and the reduced precision, if any.
    """

    active: frozenset[str]
    weights: Mapping[str, float]
    class_weights: ClassWeights
    batch_size: int
    boundary_tolerance: int
    num_previews: int
    amp: torch.dtype | None


def confusion_matrix(label: Tensor, predicted: Tensor) -> Tensor:
    """(K, K) counts of pixels on the CPU, rows true class, columns predicted class; in float64."""
    pairs = label.flatten() * NUM_CLASSES + predicted.flatten()
    return torch.bincount(pairs, minlength=NUM_CLASSES**2).reshape(NUM_CLASSES, NUM_CLASSES).cpu().double()


def class_iou(confusion_KK: Tensor) -> list[float]:
    """Intersection over union of each class over the whole data set; NaN for a class neither present nor predicted."""
    hit_K = confusion_KK.diagonal()
    union_K = confusion_KK.sum(0) + confusion_KK.sum(1) - hit_K
    return (hit_K / union_K).tolist()


def mean_iou(iou: Sequence[float]) -> float:
    """The mean over the classes that occur, in the labels or in what is predicted."""
    there = [value for value in iou if not math.isnan(value)]
    return sum(there) / len(there) if there else math.nan


def mask_boundary(mask_N1HW: Tensor) -> Tensor:
    """The pixels of each mask (0 or 1) that touch its outside by an edge; the frame is no outside."""
    eroded = -F.max_pool2d(-mask_N1HW, (3, 1), 1, (1, 0))
    eroded = torch.minimum(eroded, -F.max_pool2d(-mask_N1HW, (1, 3), 1, (0, 1)))
    return mask_N1HW - eroded


def boundary_f(label_NHW: Tensor, predicted_NHW: Tensor, tolerance: int) -> Tensor:
    """Boundary F of the target in each region, 0..1 (N,): precision and recall of contour pixels within `tolerance`
    pixels (Perazzi et al., A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation, 2016).
    """
    true_N1HW = mask_boundary((label_NHW == 1).float().unsqueeze(1))
    seen_N1HW = mask_boundary((predicted_NHW == 1).float().unsqueeze(1))
    size = 2 * tolerance + 1
    precision_N = _covered(seen_N1HW, F.max_pool2d(true_N1HW, size, 1, tolerance))
    recall_N = _covered(true_N1HW, F.max_pool2d(seen_N1HW, size, 1, tolerance))
    return 2 * precision_N * recall_N / (precision_N + recall_N).clamp(min=1e-9)


def _covered(contour_N1HW: Tensor, band_N1HW: Tensor) -> Tensor:
    """The share of contour pixels inside a band; 1 for a region without contour where the band is empty too, else 0."""
    length_N = contour_N1HW.sum((1, 2, 3))
    empty_N = (length_N == 0) & (band_N1HW.sum((1, 2, 3)) == 0)
    return torch.where(empty_N, 1.0, (contour_N1HW * band_N1HW).sum((1, 2, 3)) / length_N.clamp(min=1))


@dataclass(slots=True)
class _Sums:
    """What accumulates over the validation split, on the device."""

    confusion_KK: Tensor
    terms_T: Tensor
    boundary: Tensor
    count: int
    previews: list[Preview]
    bad_samples: list[str]


def evaluate(
    model: HierarchicalUNet, stream: BatchStream, plan: ValidationPlan, abort: Callable[[], bool] = lambda: False
) -> Validation | None:
    """One pass over the validation split without augmentation; None where `abort()` became true on the way.

    Draws no random number and leaves the network in training mode, so a run with and without it trains alike.
    """
    started = time.perf_counter()
    device = next(model.parameters()).device
    terms = active_terms(plan.active)
    sums = _Sums(
        torch.zeros(NUM_CLASSES, NUM_CLASSES, dtype=torch.float64),
        torch.zeros(len(terms), dtype=torch.float64),
        torch.zeros((), dtype=torch.float64),
        0,
        [],
        [],
    )
    stream.reseat(Position(), plan.batch_size)
    model.eval()
    try:
        with torch.no_grad():
            while not abort() and stream.wait(abort):
                batch = stream.next()
                _add(sums, model, batch, plan, device)
                if batch.ends_epoch:
                    return _summarise(sums, terms, plan, time.perf_counter() - started)
    finally:
        model.train()
    return None


def _add(sums: _Sums, model: HierarchicalUNet, batch: Batch, plan: ValidationPlan, device: torch.device) -> None:
    image, label, distance = (t.to(device) for t in (batch.image_N3HW, batch.label_NHW, batch.distance_N1HW))
    with torch.autocast(device.type, dtype=plan.amp, enabled=plan.amp is not None):
        outputs = model(image, plan.active)
    raw = term_values(outputs, label, distance, active_terms(plan.active), plan.class_weights)
    predicted_NHW = outputs.log_probs_N3HW.argmax(1)
    raw_T = torch.stack(list(raw.values())).cpu().double()
    sums.terms_T += raw_T * len(label)
    if not bool(torch.isfinite(raw_T).all()):
        sums.bad_samples += batch.sample_ids
    sums.confusion_KK += confusion_matrix(label, predicted_NHW)
    sums.boundary += boundary_f(label, predicted_NHW, plan.boundary_tolerance).cpu().double().sum()
    sums.count += len(label)
    for i in range(min(len(label), plan.num_previews - len(sums.previews))):
        sums.previews.append(_preview(batch, predicted_NHW, outputs, i))


def _preview(batch: Batch, predicted_NHW: Tensor, outputs: Outputs, i: int) -> Preview:
    contour, distance = outputs.contour_N1HW, outputs.distance_N1HW
    return Preview(
        batch.sample_ids[i],
        _bytes(batch.image_N3HW[i].permute(1, 2, 0)),
        batch.label_NHW[i].byte().cpu().numpy(),
        predicted_NHW[i].byte().cpu().numpy(),
        contour_HW=None if contour is None else _bytes(contour[i, 0].float().sigmoid()),
        distance_HW=None if distance is None else _bytes((distance[i, 0].float() + 1) / 2),
    )


def _bytes(values: Tensor) -> NDArray[np.uint8]:
    """0..1 as 0..255; what is not a number as 0."""
    return (values.nan_to_num().clamp(0, 1) * 255).round().byte().cpu().numpy()


def _summarise(sums: _Sums, terms: tuple[str, ...], plan: ValidationPlan, seconds: float) -> Validation:
    means = dict(zip(terms, (sums.terms_T / sums.count).tolist(), strict=True))
    iou = class_iou(sums.confusion_KK)
    summary = ValidationCompleted(
        loss=sum(plan.weights[term] * mean for term, mean in means.items()),
        miou=mean_iou(iou),
        iou_background=iou[0],
        iou_target=iou[1],
        iou_other=iou[2],
        boundary_f=float(sums.boundary) / sums.count,
        seconds=seconds,
    )
    return Validation(summary, means, tuple(sums.previews), tuple(sums.bad_samples))


_COLOURS = np.array([[0, 0, 0], [230, 159, 0], [86, 180, 233]], dtype=np.uint8)
"""Background, target and other in the Okabe-Ito palette, told apart under every common colour blindness."""


def preview_grid(previews: tuple[Preview, ...]) -> NDArray[np.uint8]:
    """One row for each region: image, truth, prediction, error (white where wrong). (rows*H, 4*W, 3), 0..255."""
    return np.concatenate([_preview_row(preview) for preview in previews], axis=0)


def _preview_row(preview: Preview) -> NDArray[np.uint8]:
    wrong_HW = (preview.label_HW != preview.predicted_HW).astype(np.uint8) * 255
    masks = (np.zeros_like(preview.label_HW), preview.label_HW, preview.predicted_HW)
    painted = [_mask(preview.image_HWC, mask_HW) for mask_HW in masks]
    return np.concatenate([*painted, np.repeat(wrong_HW[..., None], 3, axis=2)], axis=1)


def _mask(image_HWC: NDArray[np.uint8], label_HW: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The class colours laid half transparent over the image (resized to the mask where the two differ)."""
    height, width = label_HW.shape
    rows = np.arange(height) * image_HWC.shape[0] // height
    columns = np.arange(width) * image_HWC.shape[1] // width
    under = image_HWC[rows[:, None], columns]
    blended = (under.astype(np.uint16) + _COLOURS[label_HW]) // 2
    return np.where(label_HW[..., None] > 0, blended, under).astype(np.uint8)
