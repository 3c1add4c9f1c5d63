"""Describe an exported network of the person task: its input, and how an application cuts regions and pastes masks."""

from __future__ import annotations

import torch

from engine.task import ExportPlan
from engine.tasks.person.config import PersonConfig
from engine.tasks.person.data.regions import MIN_SIDE
from engine.tasks.person.spec import CLASSES


def export_plan(config: PersonConfig) -> ExportPlan:
    """Return an example of two regions of noise, and the description that the file holds."""
    height, width = config.model.roi_shape
    noise = torch.Generator().manual_seed(0)
    return ExportPlan(
        inputs={"image_N3HW": torch.rand(2, 3, height, width, generator=noise)},
        names={"image_N3HW": "image"},
        metadata={
            "preprocessing": {
                "box": "left, top, right, bottom of a person in pixels of the image, cut at its border",
                "padding": config.data.roi_padding,
                "min_side": MIN_SIDE,
                "keep_aspect": config.data.keep_aspect,
                "outside": "repeat the border pixels of the image",
                "resize": "Pillow: image.resize((width, height), Image.Resampling.BILINEAR, box=region)",
                "size": [height, width],
                "colours": "RGB",
                "layout": "NCHW",
                "range": [0, 1],
                "mean": [0, 0, 0],
                "std": [1, 1, 1],
            },
            "postprocessing": {
                "mask_size": [*config.model.mask_shape],
                "classes": list(CLASSES),
                "probabilities": "sum to 1 over the classes",
                "mask": "the class of the largest probability",
                "paste": "resize the probabilities to the region's pixels in the same way, then take the class",
            },
        },
    )
