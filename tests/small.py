"""The smallest network and data that are still the real ones, so that a whole run takes a second."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from engine.config.tree import Config
from engine.training.data.batch import Batch, Position

SECTIONS: Mapping[str, Mapping[str, object]] = {
    "model": {
        "roi_size": 16,
        "mask_size": 16,
        "extractor_widths": (8, 8),
        "unet_width": 4,
        "unet_depth": 1,
        "auxiliary_width": 4,
        "refinements": {"boundary_refinement": True, "boundary_aware_loss": True},
    },
    "training": {"learning_rate": 1e-3, "epochs": 2, "batch_size": 4, "warmup_epochs": 0.5},
    "data": {"synthetic": {"num_train_scenes": 6, "num_val_scenes": 2, "image_size": 64, "max_people": 3}},
    "validation": {"batch_size": 4, "num_previews": 2},
    "checkpoint": {"every_steps": 3, "keep_last": 2},
    "gate": {"min_steps": 2, "window_steps": 4},
}

PARTS = (
    "extractor",
    "shared",
    "unet",
    "foreground",
    "gate",
    "target_branch",
    "auxiliary",
    "boundary_refinement",
    "contour_detection",
    "distance_transform",
    "progressive_upsampling",
    "subpixel_conv",
)
"""Every part of the network, in its order."""


def small_config(**overrides: Mapping[str, object]) -> Config:
    """The small configuration, with whole keys of its sections replaced."""
    sections = {name: {**SECTIONS.get(name, {}), **overrides.get(name, {})} for name in {*SECTIONS, *overrides}}
    return Config.model_validate(sections)


def random_batch(config: Config, *, num_rois: int = 4, seed: int = 0) -> Batch:
    """Noise with random labels, as large as the configuration says."""
    generator = torch.Generator().manual_seed(seed)
    roi, mask = config.model.roi_size, config.model.mask_size
    return Batch(
        image_N3HW=torch.rand(num_rois, 3, roi, roi, generator=generator),
        label_NHW=torch.randint(0, 3, (num_rois, mask, mask), generator=generator),
        distance_N1HW=torch.rand(num_rois, 1, mask, mask, generator=generator) * 2 - 1,
        sample_ids=tuple(f"noise#{i}" for i in range(num_rois)),
        after=Position(0, num_rois),
        ends_epoch=False,
    )
