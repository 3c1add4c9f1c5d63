"""The UNet between the shared features and the foreground decision."""

from __future__ import annotations

import pytest
import torch

from engine.tasks.person.model.unet import UNet


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_it_returns_to_the_resolution_it_got(depth):
    unet = UNet(5, width=4, depth=depth)
    assert unet(torch.rand(2, 5, 8, 8)).shape == (2, unet.out_channels, 8, 8)


def test_its_depth_widens_its_view():
    x = torch.rand(1, 4, 64, 64)
    moved = x.clone()
    moved[..., 0, 0] += 1.0

    def reach(depth: int) -> int:
        torch.manual_seed(0)
        unet = UNet(4, width=4, depth=depth).double()
        changed = (unet(x.double()) != unet(moved.double())).any(dim=1)[0]
        return int(changed.any(dim=0).nonzero().max())

    assert reach(1) < reach(2) < reach(3)
