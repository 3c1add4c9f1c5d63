"""The whole network: what it promises for every configuration and every set of refinements."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from engine.tasks.person.config import ModelConfig
from engine.tasks.person.losses.terms import term_values
from engine.tasks.person.model.network import HierarchicalUNet
from engine.tasks.person.model.outputs import box_map, without_small_other
from engine.tasks.person.spec import EXCLUSIVE_REFINEMENTS, REFINEMENTS, active_terms, refinements_of

HEADS = ("boundary_refinement", "contour_detection", "distance_transform", *EXCLUSIVE_REFINEMENTS)
ALL_BUT_SUBPIXEL = frozenset(REFINEMENTS) - {"subpixel_conv"}
ALL_BUT_PROGRESSIVE = frozenset(REFINEMENTS) - {"progressive_upsampling"}
NONE = frozenset[str]()


def total_loss(network: nn.Module, image_N3HW: torch.Tensor, active: frozenset[str]) -> torch.Tensor:
    outputs = network(image_N3HW, active)
    size = outputs.log_probs_N3HW.shape[-1]
    label_NHW = torch.randint(0, 3, (len(image_N3HW), size, size), generator=torch.Generator().manual_seed(1))
    distance_N1HW = torch.linspace(-1, 1, size).expand(len(image_N3HW), 1, size, size)
    return sum(term_values(outputs, label_NHW, distance_N1HW, active_terms(active)).values(), torch.zeros(()))


@pytest.mark.parametrize("active", [NONE, refinements_of(1), refinements_of(4), ALL_BUT_SUBPIXEL, ALL_BUT_PROGRESSIVE])
def test_the_probabilities_of_the_classes_sum_to_one(narrow, stirred, active):
    network = narrow()
    stirred(network)
    log_probs = network(torch.rand(2, 3, 32, 32), active).log_probs_N3HW
    assert log_probs.std() > 0.01
    torch.testing.assert_close(log_probs.exp().sum(dim=1), torch.ones(2, 32, 32))


@pytest.mark.parametrize("active", [NONE, ALL_BUT_SUBPIXEL, ALL_BUT_PROGRESSIVE])
def test_it_starts_undecided_between_the_three_classes(narrow, active):
    outputs = narrow()(torch.rand(4, 3, 32, 32), active)
    torch.testing.assert_close(outputs.log_probs_N3HW.exp(), torch.full((4, 3, 32, 32), 1 / 3), atol=0.04, rtol=0)
    assert outputs.auxiliary_N1HW.abs().max() < 0.5


@pytest.mark.parametrize("trunk_stride", [1, 2])
def test_the_published_widths_give_the_published_size(trunk_stride):
    parts = HierarchicalUNet(ModelConfig(trunk_stride=trunk_stride)).parts()
    sizes = {name: sum(parameter.numel() for parameter in part.parameters()) for name, part in parts.items()}
    assert sizes["extractor"] == 2_882_496
    assert sizes["shared"] == 2_952_960
    assert sizes["unet"] + 98 == 14_067_794
    assert sizes["gate"] == 41_536 + (48 + 1) * 256, "the published gate and the context beside it"
    core = sum(size for name, size in sizes.items() if name not in HEADS[1:])
    assert 21.4e6 < core < 22.0e6


def test_the_published_target_branch_is_unchanged_at_half_resolution():
    branch = HierarchicalUNet(ModelConfig(trunk_stride=2)).target_branch
    assert sum(parameter.numel() for parameter in branch.parameters()) == 1_612_772


def test_the_parts_divide_the_parameters(narrow):
    network = narrow()
    parted = [id(parameter) for part in network.parts().values() for parameter in part.parameters()]
    assert len(parted) == len(set(parted))
    assert set(parted) == {id(parameter) for parameter in network.parameters()}
    assert set(HEADS) <= set(network.parts())


@pytest.mark.parametrize("active", [ALL_BUT_SUBPIXEL, ALL_BUT_PROGRESSIVE])
def test_every_parameter_of_what_is_on_learns(narrow, stirred, active):
    network = narrow()
    stirred(network)
    total_loss(network, torch.rand(2, 3, 32, 32), active).backward()
    off = "subpixel_conv" if active is ALL_BUT_SUBPIXEL else "progressive_upsampling"
    for name, parameter in network.named_parameters():
        assert (parameter.grad is None) == name.startswith(off), name
        assert name.startswith(off) or parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("name", HEADS)
def test_a_refinement_that_is_off_is_neither_called_nor_trained(narrow, name):
    network = narrow()
    network.parts()[name].register_forward_hook(lambda *_: pytest.fail(f"{name} was computed"))
    excluded = {name} if name in EXCLUSIVE_REFINEMENTS else {name, "subpixel_conv"}
    active = frozenset(REFINEMENTS) - excluded
    total_loss(network, torch.rand(1, 3, 32, 32), active - ({"progressive_upsampling"} & active)).backward()
    assert all(parameter.grad is None for parameter in network.parts()[name].parameters())


def test_refinements_may_be_switched_while_the_run_goes_on(narrow):
    network, image = narrow().eval(), torch.rand(2, 3, 32, 32)
    before = network(image, NONE)
    during = network(image, refinements_of(4))
    after = network(image, NONE)
    assert before.contour_N1HW is None and before.distance_N1HW is None
    assert during.contour_N1HW.shape == during.distance_N1HW.shape == (2, 1, 32, 32)
    assert after.contour_N1HW is None and torch.equal(before.log_probs_N3HW, after.log_probs_N3HW)


@pytest.mark.parametrize("name", ["boundary_refinement", *EXCLUSIVE_REFINEMENTS])
def test_a_correction_starts_at_nothing_and_can_become_something(narrow, stirred, name):
    network, image = narrow().eval(), torch.rand(2, 3, 32, 32)
    for part in ("extractor", "unet", "foreground"):
        stirred(network.parts()[part])
    plain = network(image, NONE).log_probs_N3HW
    torch.testing.assert_close(network(image, frozenset({name})).log_probs_N3HW, plain)
    stirred(network.parts()[name])
    moved = network(image, frozenset({name})).log_probs_N3HW
    assert (moved - plain).abs().max() > 0.01


def test_the_output_for_a_region_does_not_depend_on_its_neighbours(narrow, stirred):
    network = narrow().eval()
    stirred(network)
    image = torch.rand(3, 3, 32, 32)
    other = torch.cat([image[:1], 1000 * torch.rand(2, 3, 32, 32)])
    for active in (ALL_BUT_SUBPIXEL, ALL_BUT_PROGRESSIVE):
        beside, alone = network(image, active), network(other, active)
        for head in ("log_probs_N3HW", "auxiliary_N1HW", "contour_N1HW", "distance_N1HW"):
            assert torch.equal(getattr(beside, head)[0], getattr(alone, head)[0]), head


@pytest.mark.parametrize("trunk_stride", [1, 2])
@pytest.mark.parametrize("mask_size", [16, 32, 48, 64, 128])
def test_mask_and_region_may_differ_in_size(narrow, trunk_stride, mask_size):
    network = narrow(mask_size=mask_size, trunk_stride=trunk_stride)
    for active in (ALL_BUT_SUBPIXEL, ALL_BUT_PROGRESSIVE):
        outputs = network(torch.rand(1, 3, 32, 32), active)
        assert outputs.log_probs_N3HW.shape == (1, 3, mask_size, mask_size)
        for head_N1HW in (outputs.auxiliary_N1HW, outputs.contour_N1HW, outputs.distance_N1HW):
            assert head_N1HW.shape == (1, 1, mask_size, mask_size)


@pytest.mark.parametrize("mask", [(32, 16), (64, 48), (16, 48), (48, 16), (128, 64)])
@pytest.mark.parametrize("roi", [(64, 48), (16, 32)])
def test_regions_and_masks_need_not_be_square(narrow, stirred, roi, mask):
    network = narrow(
        roi_size=roi[0], roi_width=roi[1], mask_size=mask[0], mask_width=mask[1], box_channel=True, flip_average=True
    )
    stirred(network)
    for active in (ALL_BUT_SUBPIXEL, ALL_BUT_PROGRESSIVE):
        outputs = network.eval()(torch.rand(1, 3, *roi), active)
        assert outputs.log_probs_N3HW.shape == (1, 3, *mask)
        for head_N1HW in (outputs.auxiliary_N1HW, outputs.contour_N1HW, outputs.distance_N1HW):
            assert head_N1HW.shape == (1, 1, *mask)


@pytest.mark.parametrize("trunk_stride", [1, 2])
def test_nothing_is_computed_beyond_the_resolution_of_the_mask(narrow, trunk_stride):
    network, sizes = narrow(trunk_stride=trunk_stride), {}
    for name, module in network.named_modules():
        if not list(module.children()):
            module.register_forward_hook(lambda _module, _inputs, out, name=name: sizes.update({name: out.shape[-1]}))
    for active in (ALL_BUT_SUBPIXEL, ALL_BUT_PROGRESSIVE):
        network(torch.rand(1, 3, 32, 32), active)
    assert max(sizes.values()) == 32
    trunk = {size for name, size in sizes.items() if name.startswith("shared")}
    assert trunk == {32 // trunk_stride}


@pytest.mark.parametrize("overrides", [{"attention": False}, {"unet_depth": 1}, {"unet_depth": 4}, {"unet_width": 4}])
def test_other_shapes_of_network_work(narrow, overrides):
    total_loss(narrow(**overrides), torch.rand(1, 3, 32, 32), ALL_BUT_SUBPIXEL).backward()


def test_features_stay_in_channels_last_memory(narrow):
    network, strays = narrow(), list[str]()

    def watch(name: str, module: nn.Module) -> None:
        def note(_module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            if not inputs[0].is_contiguous(memory_format=torch.channels_last):
                strays.append(name)

        module.register_forward_pre_hook(note)

    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.in_channels >= 8:
            watch(name, module)
    network(torch.rand(2, 3, 32, 32), ALL_BUT_SUBPIXEL)
    assert strays == []


def test_under_bf16_autocast_the_outputs_are_float32_and_still_normalised(narrow, stirred):
    network = narrow().eval()
    stirred(network)
    image = torch.rand(2, 3, 32, 32)
    exact = network(image, ALL_BUT_SUBPIXEL)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = network(image, ALL_BUT_SUBPIXEL)
    for head in ("log_probs_N3HW", "auxiliary_N1HW", "contour_N1HW", "distance_N1HW"):
        assert getattr(outputs, head).dtype == torch.float32
        torch.testing.assert_close(getattr(outputs, head), getattr(exact, head), atol=0.3, rtol=0.1)
    torch.testing.assert_close(outputs.log_probs_N3HW.exp().sum(dim=1), torch.ones(2, 32, 32))


@pytest.mark.parametrize("active", [pytest.param(refinements_of(1), marks=pytest.mark.slow), ALL_BUT_SUBPIXEL])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_it_compiles_into_one_graph(narrow, active):
    network, image = narrow(), torch.rand(2, 3, 32, 32)
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    expected = network(image, active)
    outputs = compiled(image, active)
    torch.testing.assert_close(outputs.log_probs_N3HW, expected.log_probs_N3HW)


@pytest.mark.parametrize("image", [torch.zeros(2, 3, 32, 32), torch.ones(2, 3, 32, 32)], ids=["black", "white"])
def test_gradients_are_finite_on_a_picture_without_content(narrow, image):
    network = narrow()
    total_loss(network, image, ALL_BUT_SUBPIXEL).backward()
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize("gain", [1e2, 1e4, 1e6])
@pytest.mark.parametrize("active", [ALL_BUT_SUBPIXEL, ALL_BUT_PROGRESSIVE])
def test_gradients_are_finite_when_every_head_is_saturated(narrow, stirred, gain, active):
    network = narrow()
    stirred(network)
    with torch.no_grad():
        for name in ("foreground", "target_branch", "auxiliary", "contour_detection", "distance_transform"):
            list(network.parts()[name].parameters())[-2].mul_(gain)
    loss = total_loss(network, torch.rand(2, 3, 32, 32), active)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)


def test_the_auxiliary_task_alone_trains_the_shared_features(narrow):
    network = narrow()
    outputs = network(torch.rand(2, 3, 32, 32), NONE)
    term_values(outputs, torch.ones(2, 32, 32, dtype=torch.long), torch.zeros(2, 1, 32, 32), ("auxiliary",))[
        "auxiliary"
    ].backward()
    for name in ("auxiliary", "shared", "extractor"):
        assert all(parameter.grad.abs().max() > 0 for parameter in network.parts()[name].parameters()), name
    assert all(parameter.grad is None for parameter in network.unet.parameters())


def test_dropout_is_as_configured_and_off_in_evaluation(narrow):
    network, image = narrow(dropout=0.3), torch.rand(1, 3, 32, 32)
    assert not torch.equal(network(image, NONE).auxiliary_N1HW, network(image, NONE).auxiliary_N1HW)
    network.eval()
    assert torch.equal(network(image, NONE).auxiliary_N1HW, network(image, NONE).auxiliary_N1HW)


def test_it_learns_to_tell_the_target_from_the_other_and_both_from_the_background(narrow):
    network = narrow()
    label = torch.zeros(4, 32, 32, dtype=torch.long)
    label[:, 6:26, 8:20], label[:, 10:30, 20:30] = 1, 2
    image = torch.rand(4, 3, 32, 32) * 0.3 + torch.nn.functional.one_hot(label, 3).permute(0, 3, 1, 2) * 0.5
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    for _ in range(40):
        optimizer.zero_grad()
        outputs = network(image, refinements_of(1))
        terms = term_values(outputs, label, torch.zeros(4, 1, 32, 32), active_terms(refinements_of(1)))
        sum(terms.values(), torch.zeros(())).backward()
        optimizer.step()
    assert terms["cross_entropy"].detach() < 0.5 * math.log(3)
    hits = outputs.log_probs_N3HW.argmax(dim=1) == label
    assert all(hits[label == kind].float().mean() > 0.8 for kind in range(3))


def test_the_box_channel_marks_the_middle_of_a_padded_region() -> None:
    expected_HW = torch.zeros(12, 12)
    expected_HW[2:10, 2:10] = 1.0
    assert torch.equal(box_map((12, 12), 0.25), expected_HW)
    assert box_map((8, 8), 0.0).all()
    assert torch.equal(box_map((12, 6), 0.25), expected_HW[:, ::2])


def test_the_network_reads_the_box_as_a_fourth_channel(stirred) -> None:
    config = ModelConfig(
        roi_size=32, mask_size=32, extractor_widths=(8, 8), unet_width=4, unet_depth=1, box_channel=True
    )
    torch.manual_seed(0)
    network = HierarchicalUNet(config, padding=0.25).eval()
    stirred(network)
    image_N3HW = torch.rand(2, 3, 32, 32)
    there = network(image_N3HW, NONE).log_probs_N3HW
    network.padding = 0.0
    assert not torch.allclose(there, network(image_N3HW, NONE).log_probs_N3HW)
    assert network.extractor.get_parameter("layers.0.0.weight").shape[1] == 4


@pytest.mark.parametrize("active", [NONE, refinements_of(4)])
def test_flip_averaging_makes_the_answer_symmetric_in_evaluation_only(narrow, stirred, active) -> None:
    torch.manual_seed(0)
    network = narrow(flip_average=True)
    stirred(network)
    image_N3HW = torch.rand(2, 3, 32, 32)
    outputs, flipped = (network.eval()(view, active) for view in (image_N3HW, image_N3HW.flip(-1)))
    for name in ("log_probs_N3HW", "auxiliary_N1HW", "contour_N1HW", "distance_N1HW"):
        one, other = getattr(outputs, name), getattr(flipped, name)
        if one is None:
            assert other is None and active == NONE
        else:
            torch.testing.assert_close(one, other.flip(-1))
    torch.testing.assert_close(outputs.log_probs_N3HW.exp().sum(dim=1), torch.ones(2, 32, 32))
    one, other = (network.train()(view, active).log_probs_N3HW for view in (image_N3HW, image_N3HW.flip(-1)))
    assert not torch.allclose(one, other.flip(-1))


def probs_of(*rows: tuple[float, float, float]) -> torch.Tensor:
    """Log-probabilities of regions of 10 x 10 pixels, of which the first columns hold class other."""
    return torch.tensor(rows).T.log().reshape(1, 3, 1, 10).repeat(1, 1, 10, 1)


def test_a_small_area_of_other_goes_to_the_second_best_class() -> None:
    other, target = (0.1, 0.3, 0.6), (0.2, 0.7, 0.1)
    log_probs = torch.cat([probs_of(*[other] * 1, *[target] * 9), probs_of(*[other] * 2, *[target] * 8)])
    freed = without_small_other(log_probs, 0.15, 0.0)
    assert (freed[0].argmax(0) == 1).all() and freed[0, 1, 0, 0] > freed[0, 2, 0, 0]
    assert torch.equal(freed[1], log_probs[1])
    torch.testing.assert_close(freed.exp().sum(dim=1), torch.ones(2, 10, 10))


def test_the_area_is_measured_in_the_box() -> None:
    log_probs = probs_of(*[(0.1, 0.3, 0.6)] * 2, *[(0.2, 0.7, 0.1)] * 8)
    assert (without_small_other(log_probs, 0.1, 0.25).argmax(1) == 1).all()
    assert torch.equal(without_small_other(log_probs, 0.1, 0.0), log_probs)


def test_small_areas_are_kept_in_training(narrow, stirred) -> None:
    torch.manual_seed(0)
    network = narrow(min_other_share=0.99)
    stirred(network)
    image_N3HW = torch.rand(8, 3, 32, 32)
    assert (network.train()(image_N3HW, NONE).log_probs_N3HW.argmax(1) == 2).any()
    assert not (network.eval()(image_N3HW, NONE).log_probs_N3HW.argmax(1) == 2).any()
