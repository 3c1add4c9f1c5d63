"""Norms, blocks and the steps between resolutions."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from engine.tasks.person.config import ModelConfig
from engine.tasks.person.model.blocks import (
    ChannelNorm,
    GroupedNorm,
    ResidualBlock,
    RunningNorm,
    SampleNorm,
    rescaling,
    resized,
    small_,
)
from engine.tasks.person.model.network import HierarchicalUNet


def normalised(x_NCHW: torch.Tensor, dims: tuple[int, ...], eps: float) -> torch.Tensor:
    mean = x_NCHW.mean(dims, keepdim=True)
    variance = ((x_NCHW - mean) ** 2).mean(dims, keepdim=True)
    return (x_NCHW - mean) / (variance + eps) ** 0.5


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("norm, dims, eps", [(SampleNorm, (1, 2, 3), 1e-5), (ChannelNorm, (1,), 1e-6)])
def test_a_norm_is_its_formula_in_either_memory_layout(stirred, layout, norm, dims, eps):
    layer, x = norm(6), torch.randn(3, 6, 4, 5).contiguous(memory_format=layout)
    stirred(layer)
    scale, shift = layer.weight.reshape(1, 6, 1, 1), layer.bias.reshape(1, 6, 1, 1)
    expected = normalised(x, dims, eps) * scale + shift
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)
    rectified = norm(6, relu=True)
    rectified.load_state_dict(layer.state_dict())
    torch.testing.assert_close(rectified(x), expected.relu(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("norm", [SampleNorm, ChannelNorm])
def test_a_norm_is_differentiable_where_all_values_are_equal(norm):
    layer, x = norm(6, relu=True), torch.full((2, 6, 4, 4), 3.0, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("norm", [SampleNorm, ChannelNorm])
def test_a_residual_block_has_the_gradient_of_its_formula(norm):
    block = ResidualBlock(3, norm=norm).double()
    assert torch.autograd.gradcheck(block, (torch.randn(1, 3, 4, 4, dtype=torch.float64, requires_grad=True),))


@pytest.mark.parametrize("scale", [1, 2])
def test_rescaling_multiplies_the_resolution(scale):
    assert rescaling(4, 6, scale=scale)(torch.rand(1, 4, 8, 8)).shape == (1, 6, 8 * scale, 8 * scale)


def test_resizing_to_the_same_size_is_free():
    x = torch.rand(1, 2, 8, 8)
    assert resized(x, (8, 8)) is x


def test_shrinking_averages_and_growing_interpolates():
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    torch.testing.assert_close(resized(x, (2, 2)).flatten(), torch.tensor([2.5, 4.5, 10.5, 12.5]))
    assert resized(torch.full((1, 1, 4, 4), 0.3), (12, 12)).sub(0.3).abs().max() < 1e-6
    torch.testing.assert_close(resized(x, (4, 2))[0, 0, 0], torch.tensor([0.5, 2.5]))
    torch.testing.assert_close(resized(x, (8, 2))[0, 0, 0], torch.tensor([0.5, 2.5]))
    assert resized(x, (8, 2)).shape == (1, 1, 8, 2)


def test_a_network_without_values_is_built_without_the_compiler_of_torch(monkeypatch):
    """A resume builds one to compare it with its checkpoint."""
    monkeypatch.setitem(sys.modules, "torch._dynamo", None)  # an import raises
    with torch.device("meta"):
        convolution = small_(nn.Conv2d(3, 4, 3))
    assert convolution.weight.is_meta and convolution.weight.shape == (4, 3, 3, 3)
    assert small_(nn.Conv2d(3, 4, 3)).weight.abs().sum() > 0


@pytest.mark.parametrize("channels", [4, 8, 12, 7])
def test_a_grouped_norm_normalises_groups_of_channels(channels):
    layer, x = GroupedNorm(channels), torch.randn(2, channels, 5, 5)
    groups = {4: 4, 8: 8, 12: 4, 7: 1}[channels]
    expected = normalised(x.reshape(2, groups, -1), (2,), 1e-5).reshape(x.shape)
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)


def test_a_running_norm_normalises_over_the_batch_and_single_values_by_its_statistics():
    layer, x = RunningNorm(3, relu=True), torch.randn(4, 3, 5, 5)
    torch.testing.assert_close(layer(x), normalised(x, (0, 2, 3), 1e-5).relu(), atol=1e-5, rtol=1e-5)
    single = torch.randn(1, 3, 1, 1)
    trained = layer(single)
    torch.testing.assert_close(trained, layer.eval()(single))


def _network(norm):
    torch.manual_seed(0)
    widths = {"extractor_widths": (8, 8), "unet_width": 4, "unet_depth": 1, "auxiliary_width": 4}
    return HierarchicalUNet(ModelConfig(roi_size=16, mask_size=16, dropout=0.0, norm=norm, **widths))


@pytest.mark.parametrize("norm", ["group", "batch"])
def test_another_norm_leaves_names_and_first_values_of_all_weights(norm):
    plain, other = _network("layer"), _network(norm)
    weights = {name: value for name, value in other.state_dict().items() if name in plain.state_dict()}
    assert weights.keys() == plain.state_dict().keys()
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in weights.items())
    assert not any(isinstance(module, SampleNorm | ChannelNorm) for module in other.modules())
    assert len(other.state_dict()) > len(weights) if norm == "batch" else len(other.state_dict()) == len(weights)


@pytest.mark.parametrize(("norm", "training"), [("group", True), ("batch", False)])
def test_a_region_does_not_depend_on_the_others(norm, training):
    network, x = _network(norm).train(training), torch.rand(3, 3, 16, 16)
    whole, alone = (network(images, frozenset()).log_probs_N3HW for images in (x, x[:1]))
    torch.testing.assert_close(whole[:1], alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("norm", ["group", "batch"])
def test_a_network_without_values_has_the_norms_too(norm):
    with torch.device("meta"):
        empty = _network(norm).state_dict()
    assert {name: value.shape for name, value in empty.items()} == {
        name: value.shape for name, value in _network(norm).state_dict().items()
    }
