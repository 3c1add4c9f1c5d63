"""Histograms of a layer agree with numpy, change no number of the training, and survive an undone step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from engine.outputs.inspection.layer_histograms import LayerHistograms
from engine.tasks.person.model.network import HierarchicalUNet
from engine.training.gradients.layer_histogram import HistogramTaker
from engine.training.gradients.tensor_histogram import NUM_BINS, count
from engine.training.step_plan import StepPlan, plan_for
from tests.person_state import person_state
from tests.small import random_batch, small_config, train_step_of


def plan_of(number: int) -> StepPlan:
    config = small_config()
    state = person_state(step=number, refinements=config.active_components(), loss_weights=config.loss.weights)
    return plan_for(1.0, state, config)


def test_bins_and_numbers_agree_with_numpy() -> None:
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(7, 11, generator=generator), torch.randn(300, generator=generator).exp()]
    values = torch.cat([tensor.flatten() for tensor in tensors]).double().numpy()
    found = count(tensors).resolve()
    expected, _ = np.histogram(values, NUM_BINS, (values.min(), values.max()))
    np.testing.assert_array_equal(found.bins, expected)
    exponents = np.log10(np.abs(values))
    expected, _ = np.histogram(exponents, NUM_BINS, (exponents.min(), exponents.max()))
    np.testing.assert_array_equal(found.magnitudes, expected)
    assert (found.count, found.zeros, found.nans, found.infinities) == (377, 0, 0, 0)
    assert (found.low, found.high) == (values.min(), values.max())
    assert (found.mean, found.std) == (pytest.approx(values.mean()), pytest.approx(values.std()))


def test_zeros_and_values_that_are_not_finite_are_counted_apart() -> None:
    found = count([torch.tensor([0.0, 1.0, -3.0, math.nan, math.inf, -math.inf, 0.0])]).resolve()
    assert (found.count, found.zeros, found.nans, found.infinities) == (7, 2, 1, 2)
    assert sum(found.bins) == 4 and sum(found.magnitudes) == 2
    assert (found.low, found.high, found.mean) == (-3.0, 1.0, -0.5)


@pytest.mark.parametrize("values", [[math.nan, math.inf], [0.0, 0.0], [2.5]])
def test_values_without_a_range_are_no_trouble(values: list[float]) -> None:
    found = count([torch.tensor(values)]).resolve()
    finite = [value for value in values if math.isfinite(value)]
    assert sum(found.bins) == len(finite)
    assert math.isnan(found.mean) == (not finite) and math.isnan(found.low_exponent) == (2.5 not in values)


class Two(nn.Module):
    """Two layers of which one is frozen, and a module that is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.second = nn.Linear(4, 2).requires_grad_(False)
        self.unused = nn.Linear(1, 1)
        self.twice = nn.Sequential(nn.Identity())

    def forward(self, values: Tensor) -> tuple[Tensor, str]:
        return self.second(self.twice(self.first(values).relu())), "other"


def taken(*layers: str, on: bool = True) -> Mapping[str, LayerHistograms]:
    model = Two()
    taker = HistogramTaker({"": model})
    assert [taker.request(layer) for layer in layers] == [""] * len(layers)
    taker.begin()
    with taker.watched(on=on):
        model(torch.ones(5, 3))[0].sum().backward()
        model(torch.ones(5, 3))
    taker.note_gradients()
    pending = taker.finish()
    assert taker.finish() == () and not any(module._forward_hooks for module in model.modules())
    assert not torch_module._global_forward_hooks
    return {done.layer: done.resolve(3) for done in pending}


def test_a_module_has_all_of_its_parameters_and_its_first_output() -> None:
    found = taken("first", "first.bias", "network")
    assert found["first"].step == 3
    assert {kind: held and held.count for kind, held in found["first"].kinds()} == {
        "weights": 16,
        "gradients": 16,
        "activations": 20,
    }
    assert {kind: held and held.count for kind, held in found["first.bias"].kinds()} == {
        "weights": 4,
        "gradients": 4,
        "activations": 20,
    }
    whole = dict(found["network"].kinds())
    assert whole["activations"] is not None and whole["activations"].count == 10  # the first part of its output


def test_what_is_missing_has_a_reason() -> None:
    assert taken("second")["second"].missing == {
        "gradients": "no gradient: the layer is frozen or took no part in the loss"
    }
    assert taken("unused")["unused"].missing["activations"] == "the module was not called"
    assert taken("twice")["twice"].missing["weights"] == "the layer has no parameters"
    assert "compiled" in taken("first", on=False)["first"].missing["activations"]


def test_an_unknown_layer_is_refused_with_the_nearest_or_the_outermost_names() -> None:
    taker = HistogramTaker({"": Two()})
    assert taker.request("frist.bias") == "no layer is called 'frist.bias'; did you mean 'first.bias'?"
    assert "there are" in taker.request("zzz") and "first, network, and their parts" in taker.request("zzz")


def test_only_so_many_layers_wait_for_one_step() -> None:
    taker = HistogramTaker({"": nn.Sequential(*(nn.Linear(1, 1) for _ in range(17)))})
    assert [taker.request(str(number)) for number in range(16)] == [""] * 16
    assert taker.request("16") == "16 layers wait for the next step already"
    assert taker.request("3") == ""


def test_a_step_with_histograms_is_the_step_without_them() -> None:
    def after(*layers: str) -> list[Tensor]:
        torch.manual_seed(0)
        config = small_config()
        step = train_step_of(config, HierarchicalUNet(config.model))
        for layer in layers:
            step.histograms.request(layer)
        for number in range(2):
            pending = step.run([random_batch(config, seed=number)], plan_of(number))
            assert [done.layer for done in pending.histograms] == (list(layers) if number == 0 else [])
            pending.resolve()
        return list(step.model.state_dict().values())

    plain, looked_at = after(), after("unet", "network", "extractor")
    assert all(torch.equal(one, other) for one, other in zip(plain, looked_at, strict=True))


def test_an_undone_step_leaves_the_request_for_the_next_one() -> None:
    config = small_config()
    step = train_step_of(config, HierarchicalUNet(config.model))
    step.histograms.request("unet")
    footing = step.footing()
    good = random_batch(config)
    broken = replace(good, tensors={"image_N3HW": good.tensors["image_N3HW"]})
    with pytest.raises(KeyError):
        step.run([broken], plan_of(0))
    step.undo(footing)
    (done,) = step.run([random_batch(config)], plan_of(0)).histograms
    found = done.resolve(1)
    assert found.gradients is not None and found.weights is not None and found.missing == {}
    assert found.gradients.count == found.weights.count
