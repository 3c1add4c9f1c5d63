"""Narrow networks that build and run in milliseconds."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from engine.tasks.person.config import ModelConfig
from engine.tasks.person.model.network import HierarchicalUNet


@pytest.fixture
def narrow() -> Callable[..., HierarchicalUNet]:
    """Builds a narrow network; keyword arguments override its ModelConfig."""

    def build(**overrides: object) -> HierarchicalUNet:
        config = {
            "roi_size": 32,
            "mask_size": 32,
            "extractor_widths": (8, 8, 16),
            "unet_width": 8,
            "unet_depth": 2,
            "auxiliary_width": 8,
            "dropout": 0.0,
        }
        return HierarchicalUNet(ModelConfig(**(config | overrides)))  # type: ignore[arg-type]

    return build


@pytest.fixture
def stirred() -> Callable[[nn.Module], None]:
    """Moves every parameter off its start, so that layers which start at zero take part."""

    def stir(module: nn.Module) -> None:
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))

    return stir
