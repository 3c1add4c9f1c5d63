"""The smallest network and data that are still the real ones, so that a whole run takes a second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from engine.tasks.person.config import PersonConfig
from engine.tasks.person.model.network import HierarchicalUNet
from engine.tasks.person.spec import REFINEMENTS
from engine.tasks.person.task import PersonTask
from engine.training.data.batch import Batch, Position
from engine.training.loss_sum import Objective
from engine.training.optimizer import build_optimizer
from engine.training.step import TrainStep

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
    "validation": {"batch_size": 4, "num_previews": 2, "num_worst": 0, "num_remembered": 0},
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


def small_config(**overrides: Mapping[str, object]) -> PersonConfig:
    """The small configuration, with whole keys of its sections replaced."""
    sections = {name: {**SECTIONS.get(name, {}), **overrides.get(name, {})} for name in {*SECTIONS, *overrides}}
    return PersonConfig.model_validate(sections)


def random_batch(config: PersonConfig, *, num_rois: int = 4, seed: int = 0) -> Batch:
    """Noise with random labels, as large as the configuration says."""
    generator = torch.Generator().manual_seed(seed)
    roi, mask = config.model.roi_shape, config.model.mask_shape
    return Batch(
        tensors={
            "image_N3HW": torch.rand(num_rois, 3, *roi, generator=generator),
            "label_NHW": torch.randint(0, 3, (num_rois, *mask), generator=generator),
            "distance_N1HW": torch.rand(num_rois, 1, *mask, generator=generator) * 2 - 1,
        },
        sample_ids=tuple(f"noise#{i}" for i in range(num_rois)),
        after=Position(0, num_rois),
        ends_epoch=False,
    )


def with_tensor(batch: Batch, name: str, tensor: torch.Tensor) -> Batch:
    """The batch with another tensor under `name`."""
    return replace(batch, tensors={**batch.tensors, name: tensor})


def train_step_of(
    config: PersonConfig, model: HierarchicalUNet, *, optimizer: str = "adamw", amp: torch.dtype | None = None
) -> TrainStep:
    """The step of the person task on `model`."""
    built = build_optimizer(optimizer, model.parts(), 1e-4, REFINEMENTS)
    return TrainStep(Objective(PersonTask(), config), model, built, amp=amp)
