"""Label maps and logits of the kinds that break losses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.tasks.person.data.distance_target import signed_distance


@pytest.fixture
def label_NHW() -> Tensor:
    """Two regions of 24 x 24 pixels: a target next to an overlapping other, and a thin one that touches the frame."""
    label = torch.zeros(2, 24, 24, dtype=torch.long)
    label[0, 4:20, 10:22] = 2
    label[0, 2:18, 4:14] = 1
    label[1, 0:3, :] = 1
    label[1, 10:12, 5:7] = 2
    return label


@pytest.fixture
def distance_N1HW(label_NHW: Tensor) -> Tensor:
    """The signed distances of those regions."""
    return torch.from_numpy(np.stack([signed_distance(label.numpy()) for label in label_NHW])).unsqueeze(1)


@pytest.fixture(params=["zero", "constant", "saturated", "saturated wrongly", "one-hot", "inverted one-hot"])
def hard_logits(request: pytest.FixtureRequest, label_NHW: Tensor) -> Tensor:
    """Three-class logits on which a careless loss has a gradient that is NaN or infinite."""
    true = F.one_hot(label_NHW, 3).permute(0, 3, 1, 2).float()
    ties = torch.tensor([1.0, -1.0, -1.0]).reshape(1, 3, 1, 1).expand_as(true)
    return {
        "zero": torch.zeros_like(true),
        "constant": 7.0 * ties,
        "saturated": 1e4 * ties,
        "saturated wrongly": -1e4 * true,
        "one-hot": 1e4 * true,
        "inverted one-hot": 1.0 - true,
    }[request.param].clone()
