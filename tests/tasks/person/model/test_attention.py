"""Spatial and channel attention."""

from __future__ import annotations

import torch

from engine.tasks.person.model.attention import ChannelAttention, SpatialAttention


def test_spatial_attention_weighs_all_channels_of_a_pixel_alike():
    x = torch.rand(2, 6, 8, 8) + 0.1
    weights = SpatialAttention()(x) / x
    torch.testing.assert_close(weights, weights[:, :1].expand_as(weights))
    assert weights.std() > 0 and weights.min() > 0 and weights.max() < 1


def test_channel_attention_weighs_all_pixels_of_a_channel_alike():
    x = torch.rand(2, 16, 8, 8) + 0.1
    weights = ChannelAttention(16)(x) / x
    torch.testing.assert_close(weights, weights[..., :1, :1].expand_as(weights))
    assert weights.std() > 0 and weights.min() > 0 and weights.max() < 1
