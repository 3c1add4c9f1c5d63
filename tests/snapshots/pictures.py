"""Validation pictures for the preview: two figures on a gradient, predicted slightly off the truth, less each time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.outputs.inspection.histogram_file import write_histograms
from engine.outputs.inspection.layer_histograms import Histogram, LayerHistograms
from engine.outputs.inspection.preview_writer import write_previews
from engine.outputs.inspection.strip_file import thumbnails_of, write_strip
from engine.outputs.preview_file import Plane, Preview
from engine.tasks.person.previews import region_preview

SIDE = 64
_CLASSES = tuple(enumerate(("background", "target", "other")))


def draw_previews(run_dir: Path, step: int) -> None:
    """Two regions of the validation after `step` steps, and their predictions in the validations before it."""
    for number, off in enumerate((28, 20, 14, 9, 4)):
        shown = (_preview("images/000139.jpg#1", 0, off), _preview("images/000285.jpg#2", 6, off))
        at = step * (number + 1) // 5
        write_strip(run_dir, at, thumbnails_of(shown, {}))
        if at == step:
            write_previews(run_dir, step, shown)


def draw_histograms(run_dir: Path, step: int) -> None:
    """Histograms of a layer at `step`, without activations."""
    bell = [round(900 * 0.5 ** ((number - 30) ** 2 / 60)) for number in range(64)]
    skewed = [round(700 * 0.5 ** (abs(number - 50) / 5)) for number in range(64)]
    weights = Histogram(sum(bell), 0, 0, 0, -0.21, 0.24, 0.003, 0.05, 30.0, tuple(bell), -7.0, -0.6, tuple(bell))
    gradients = Histogram(
        sum(skewed) + 12, 9, 3, 0, -0.002, 0.001, 1e-5, 2e-4, 1e-3, tuple(skewed), -9.0, -2.7, tuple(skewed)
    )
    missing = {"activations": "the network is compiled: hooks see no output"}
    write_histograms(run_dir, LayerHistograms("unet.down.0.weight", step, weights, gradients, None, missing))


def _preview(name: str, shift: int, off: int) -> Preview:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    image_HWC = np.stack([40 + 2 * rows, 60 + 2 * columns, 200 - rows - columns], axis=-1).astype(np.uint8)
    label_HW = np.zeros((SIDE, SIDE), np.uint8)
    label_HW[_ellipse(30, 44 + shift, 26, 12)] = 2
    label_HW[_ellipse(34, 26 + shift, 28, 14)] = 1
    image_HWC[label_HW == 1] = (210, 150, 120)
    image_HWC[label_HW == 2] = (110, 90, 160)
    outline = 255 * (np.abs(columns - 26 - shift) < 3)
    heads = {"contour_HW": outline.astype(np.uint8), "distance_HW": (2 * rows).astype(np.uint8)}
    predicted_HW = np.roll(label_HW, off, axis=1)
    shares = [Plane(f"p {title}", "scalar", 255 * (predicted_HW == at).astype(np.uint8)) for at, title in _CLASSES]
    region = region_preview(name, image_HWC, label_HW, predicted_HW, **heads)
    error = off / 40 + shift / 100
    return replace(region, planes=(*region.planes, *shares), error=error, rank=2 if shift == 0 else 1, place=shift)


def _ellipse(row: int, column: int, height: int, width: int) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return ((rows - row) / height) ** 2 + ((columns - column) / width) ** 2 < 1
