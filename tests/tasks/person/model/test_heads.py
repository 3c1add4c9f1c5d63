"""The heads that decode the shared features: contour, distance, progressive and sub-pixel."""

from __future__ import annotations

import pytest
import torch

from engine.tasks.person.model.heads import contour_head, distance_head, progressive_decoder, subpixel_decoder


@pytest.mark.parametrize("head", [contour_head, distance_head])
@pytest.mark.parametrize("scale", [1, 2])
def test_a_head_gives_one_unbounded_value_per_pixel(stirred, head, scale):
    layers = head(32, scale=scale)
    stirred(layers)
    with torch.no_grad():
        layers[-1].weight.mul_(1000)
    out = layers(torch.randn(2, 32, 8, 8))
    assert out.shape == (2, 1, 8 * scale, 8 * scale)
    assert out.abs().max() > 1.5


@pytest.mark.parametrize("num_doublings", [0, 1, 2])
def test_the_progressive_decoder_doubles_as_often_as_needed_and_starts_at_zero(num_doublings):
    residual = progressive_decoder(8, num_doublings=num_doublings)(torch.randn(1, 8, 4, 4))
    assert residual.shape == (1, 3, 4 * 2**num_doublings, 4 * 2**num_doublings)
    assert residual.abs().max() == 0


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_the_subpixel_decoder_folds_channels_into_pixels_and_starts_at_zero(scale):
    residual = subpixel_decoder(8, scale=scale)(torch.randn(1, 8, 4, 4))
    assert residual.shape == (1, 3, 4 * scale, 4 * scale)
    assert residual.abs().max() == 0


@pytest.mark.parametrize("decoder", [progressive_decoder(8, num_doublings=1), subpixel_decoder(8, scale=2)])
def test_a_residual_that_starts_at_zero_learns_from_the_first_step(decoder):
    decoder(torch.randn(1, 8, 4, 4))[:, 0].sum().backward()
    assert max(parameter.grad.abs().max() for parameter in decoder.parameters()) > 0
