"""Previews of validation regions: the image, the true and predicted classes, probabilities, and the other heads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from engine.outputs.preview_file import PREDICTED, TRUTH, Plane, Preview
from engine.task import Tensors
from engine.tasks.person.model.outputs import Outputs
from engine.tasks.person.spec import CLASSES


def preview_of(batch: Tensors, sample_id: str, outputs: Outputs, row: int) -> Preview:
    """Return the preview of the region in `row` of a batch."""
    contour, distance = outputs.contour_N1HW, outputs.distance_N1HW
    region = region_preview(
        sample_id,
        _bytes(batch["image_N3HW"][row].permute(1, 2, 0)),
        batch["label_NHW"][row].byte().cpu().numpy(),
        outputs.log_probs_N3HW[row].argmax(0).byte().cpu().numpy(),
        contour_HW=None if contour is None else _bytes(contour[row, 0].float().sigmoid()),
        distance_HW=None if distance is None else _bytes((distance[row, 0].float() + 1) / 2),
    )
    return replace(region, planes=(*region.planes, *_probabilities(outputs.log_probs_N3HW[row])))


def _probabilities(log_probs_3HW: Tensor) -> list[Plane]:
    """Return the predicted probability of each class."""
    shares_3HW = _bytes(log_probs_3HW.float().exp())
    return [Plane(f"p {name}", "scalar", share_HW) for name, share_HW in zip(CLASSES, shares_3HW, strict=True)]


def region_preview(
    sample_id: str,
    image_HWC: NDArray[np.uint8],
    label_HW: NDArray[np.uint8],
    predicted_HW: NDArray[np.uint8],
    *,
    contour_HW: NDArray[np.uint8] | None = None,
    distance_HW: NDArray[np.uint8] | None = None,
) -> Preview:
    """Return a region's planes: image, classes, and the predicted outline probability and signed distance.

    The last two are `None` if the network does not predict them.
    """
    planes = [
        Plane(PREDICTED, "classes", predicted_HW),
        Plane(TRUTH, "classes", label_HW),
        Plane("image", "rgb", image_HWC),
    ]
    if contour_HW is not None:
        planes.append(Plane("outline", "scalar", contour_HW))
    if distance_HW is not None:
        planes.append(Plane("distance", "signed", distance_HW))
    return Preview(sample_id, tuple(planes))


def _bytes(values: Tensor) -> NDArray[np.uint8]:
    """Return 0..1 as 0..255, and NaN as 0."""
    return (values.nan_to_num().clamp(0, 1) * 255).round().byte().cpu().numpy()


_COLOURS = np.array([[0, 0, 0], [230, 159, 0], [86, 180, 233]], dtype=np.uint8)
"""Background, target and other in the Okabe-Ito palette, which is safe for colour blindness."""


def preview_grid(previews: tuple[Preview, ...]) -> NDArray[np.uint8]:
    """Return one row per region: image, truth, prediction, error (white). (rows*H, 4*W, 3), 0..255."""
    return np.concatenate([_preview_row(preview) for preview in previews], axis=0)


def _preview_row(preview: Preview) -> NDArray[np.uint8]:
    image_HWC, label_HW, predicted_HW = (
        preview.plane("image", "rgb"),
        preview.plane(TRUTH, "classes"),
        preview.plane(PREDICTED, "classes"),
    )
    assert image_HWC is not None and label_HW is not None and predicted_HW is not None
    wrong_HW = (label_HW != predicted_HW).astype(np.uint8) * 255
    painted = [_mask(image_HWC, mask_HW) for mask_HW in (np.zeros_like(label_HW), label_HW, predicted_HW)]
    return np.concatenate([*painted, np.repeat(wrong_HW[..., None], 3, axis=2)], axis=1)


def _mask(image_HWC: NDArray[np.uint8], label_HW: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the class colours blended at half opacity over the image, which is resized to the mask if they differ."""
    height, width = label_HW.shape
    rows = np.arange(height) * image_HWC.shape[0] // height
    columns = np.arange(width) * image_HWC.shape[1] // width
    under = image_HWC[rows[:, None], columns]
    blended = (under.astype(np.uint16) + _COLOURS[label_HW]) // 2
    return np.where(label_HW[..., None] > 0, blended, under).astype(np.uint8)
