"""Masks of people at full resolution as COCO's run lengths, and their average precision by COCO's own program."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from engine.protocol.record import record

SIZES: Final = ("small", "medium", "large")
"""COCO's sizes of people by the area of their masks: up to 32 x 32 pixels, up to 96 x 96, and larger."""

_BOUNDS: Final = (32**2, 96**2)
_AREAS: Final = ("all", *SIZES)
"""COCO's names of the ranges of areas, in its order."""

# `Any`: pycocotools has no types.
RunLengths = dict[str, Any]


def size_of(area: int) -> str:
    """Return the name of the size of a person with a mask of `area` pixels."""
    return SIZES[sum(area > bound for bound in _BOUNDS)]


def mask_iou(one: RunLengths, other: RunLengths) -> float:
    """Return the IoU of two masks of an image; 1 if both are empty."""
    if not (coco_mask.area(cast(Any, one)) or coco_mask.area(cast(Any, other))):
        return 1.0
    iou: NDArray[np.float64] = np.asarray(coco_mask.iou(cast(Any, [one]), cast(Any, [other]), [0]))
    return float(iou[0, 0])


@record
class TrueMask:
    """The true mask of a person in an image; `size` is the image's (width, height)."""

    image: str
    size: tuple[int, int]
    mask: RunLengths
    area: int


def average_precision(
    truths: Sequence[TrueMask], found: Sequence[tuple[RunLengths, float]]
) -> Mapping[str, Mapping[str, float]]:
    """Return mask AP, AP50 and AP75 for all sizes and for each one; NaN for a size without people.

    `found` has the mask and the score of each of `truths`, whose boxes were given.
    """
    images = {truth.image: number for number, truth in enumerate(truths, start=1)}
    numbers = [images[truth.image] for truth in truths]
    with redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        truth = _coco(truths, numbers)
        results = [
            {"image_id": image, "category_id": 1, "segmentation": mask, "score": score}
            for image, (mask, score) in zip(numbers, found, strict=True)
        ]
        judge: Any = COCOeval(truth, truth.loadRes(cast(Any, results)), "segm")
        judge.evaluate()
        judge.accumulate()
    precision_TRKAM: NDArray[np.float64] = judge.eval["precision"]
    thresholds: list[float] = np.round(judge.params.iouThrs, 2).tolist()
    return {
        name: {
            "ap": _mean(precision_TRKAM[:, :, 0, area, -1]),
            "ap50": _mean(precision_TRKAM[thresholds.index(0.5), :, 0, area, -1]),
            "ap75": _mean(precision_TRKAM[thresholds.index(0.75), :, 0, area, -1]),
        }
        for area, name in enumerate(_AREAS)
    }


def _coco(truths: Sequence[TrueMask], numbers: Sequence[int]) -> COCO:
    coco: Any = COCO()
    sizes = {number: truth.size for number, truth in zip(numbers, truths, strict=True)}
    coco.dataset = {
        "images": [{"id": number, "width": size[0], "height": size[1]} for number, size in sizes.items()],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            {
                "id": number,
                "image_id": image,
                "category_id": 1,
                "iscrowd": 0,
                "area": truth.area,
                "segmentation": truth.mask,
                "bbox": coco_mask.toBbox(cast(Any, truth.mask)).tolist(),
            }
            for number, (image, truth) in enumerate(zip(numbers, truths, strict=True), start=1)
        ],
    }
    coco.createIndex()
    return cast(COCO, coco)


def _mean(precision: NDArray[np.float64]) -> float:
    """Return the mean of the measured precisions; COCO marks others by -1."""
    measured = precision[precision > -1]
    return float(measured.mean()) if measured.size else float("nan")
