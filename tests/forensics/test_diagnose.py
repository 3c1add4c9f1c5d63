"""Planted faults: each is named by its operation, module, term and refinement, and the state is unchanged."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import engine.forensics.diagnose
import engine.tasks.person.losses.outline_losses
import engine.tasks.person.model.boundary_refinement
from engine.outputs.fault_report import ONLY_MIXED, REPRODUCED, VANISHED, Fault
from engine.tasks.person.spec import LOSS_TERMS, REFINEMENT_OF_TERM, REFINEMENTS
from engine.training.data.batch import Batch
from tests.forensics.scene import ALL, Scene, SpoiltGradient, after, build_scene, first_convolution, same, spoil_term
from tests.small import PARTS, random_batch, with_tensor

BAD = (math.nan, math.inf, -math.inf)


def scene_of(part: str) -> Scene:
    """A scene in which that part takes part."""
    return build_scene(refinements=ALL - {"progressive_upsampling"} | {part} if part == "subpixel_conv" else ALL)


def refinement_of(part: str) -> str:
    return part if part in REFINEMENTS else ""


def named(scene: Scene, batch: Batch | None = None) -> Fault:
    """The fault's name; asserts that the step is bad and that naming it moves nothing."""
    evidence = scene.evidence(batch)
    assert not scene.take(evidence).finite
    before = scene.whole()
    fault = scene.name(evidence)
    assert same(scene.whole(), before)
    return fault


# --- loss terms -------------------------------------------------------------------------


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("term", LOSS_TERMS)
def test_a_bad_loss_term_is_named_with_its_refinement(term: str, bad: float, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = build_scene()
    spoil_term(monkeypatch, term, lambda value: value * bad)
    fault = named(scene)
    assert (fault.verdict, fault.direction, fault.term, fault.operation) == (REPRODUCED, "forward", term, "mul")
    assert fault.module == term and fault.refinement == REFINEMENT_OF_TERM.get(term, "")
    assert "scene.py" in fault.source or "test_diagnose.py" in fault.source


@pytest.mark.parametrize("term", sorted(REFINEMENT_OF_TERM))
def test_a_term_that_a_hard_clamp_hides_from_the_loss_is_named(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = build_scene()
    spoil_term(monkeypatch, term, lambda value: value * math.inf)
    fault = scene.name(scene.evidence(clamp_mode="hard"))
    assert (fault.verdict, fault.direction, fault.term, fault.operation) == (REPRODUCED, "forward", term, "mul")
    assert fault.refinement == REFINEMENT_OF_TERM[term] and fault.terms == (term,)


@pytest.mark.parametrize("term", LOSS_TERMS)
def test_a_bad_gradient_of_a_loss_term_is_named(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = build_scene()
    spoil_term(monkeypatch, term, lambda value: SpoiltGradient.apply(value, math.nan))
    fault = named(scene)
    assert (fault.direction, fault.module, fault.term, fault.operation) == ("backward", term, term, "SpoiltGradient")
    assert fault.refinement == REFINEMENT_OF_TERM.get(term, "")


def test_a_sum_that_overflows_though_every_term_is_finite_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = build_scene()
    for term in ("cross_entropy", "dice"):
        spoil_term(monkeypatch, term, lambda value: value * 0 + 3e38)
    evidence = scene.evidence(weights={**scene.plan.weights, "dice": 1.0})
    fault = scene.name(evidence)
    assert (fault.direction, fault.module, fault.operation, fault.term) == ("forward", "total", "sum", "")


# --- inputs, weights, moments -----------------------------------------------------------


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("field", ["image_N3HW", "distance_N1HW"])
def test_bad_input_is_named_with_the_sample_that_holds_it(field: str, bad: float) -> None:
    scene = build_scene()
    tensor = scene.batch.tensors[field].clone()
    tensor[2, 0, 3, 3] = bad
    fault = named(scene, with_tensor(scene.batch, field, tensor))
    assert (fault.direction, fault.operation) == ("input", field.partition("_")[0])
    assert fault.sample_ids == (scene.batch.sample_ids[2],)
    assert fault.verdict == REPRODUCED


@pytest.mark.parametrize("part", PARTS)
def test_a_bad_weight_is_named(part: str) -> None:
    scene = scene_of(part)
    path, module = first_convolution(scene.model, part)
    with torch.no_grad():
        module.weight[0, 0, 0, 0] = math.inf
    fault = named(scene)
    assert (fault.direction, fault.module, fault.operation) == ("weight", path, "weight")
    assert fault.refinement == refinement_of(part)


def test_a_bad_weight_of_a_refinement_that_is_off_is_not_blamed_for_a_fault_elsewhere() -> None:
    scene = build_scene(refinements=ALL - {"distance_transform"})
    with torch.no_grad():
        first_convolution(scene.model, "distance_transform")[1].weight.fill_(math.nan)
    path, module = first_convolution(scene.model, "unet")
    after(module, lambda out: out / 0)
    assert named(scene).module == path


@pytest.mark.parametrize("moment", ["exp_avg", "exp_avg_sq"])
@pytest.mark.parametrize("spread", [False, True])
def test_a_bad_moment_is_named_before_and_after_it_has_reached_the_weight(moment: str, spread: bool) -> None:
    scene = build_scene()
    path, module = first_convolution(scene.model, "shared")
    scene.train_step.optimizer.state[module.weight][moment][0, 0, 0, 0] = math.nan
    if spread:
        with torch.no_grad():
            module.weight[0, 0, 0, 0] = math.nan
    fault = scene.name()
    assert (fault.direction, fault.module, fault.operation) == ("moment", path, f"{moment} of weight")


def test_weights_so_large_that_their_norm_overflows_are_named_by_their_part() -> None:
    scene = build_scene(refinements=ALL - {"distance_transform"})
    with torch.no_grad():
        first_convolution(scene.model, "distance_transform")[1].weight.fill_(1e30)
    fault = named(scene)
    assert (fault.direction, fault.module, fault.operation) == ("weight", "distance_transform", "norm")


# --- operations of the network ----------------------------------------------------------


@pytest.mark.parametrize("part", PARTS)
def test_a_division_by_zero_in_a_part_is_named(part: str) -> None:
    scene = scene_of(part)
    path, module = first_convolution(scene.model, part)
    after(module, lambda out: out / 0)
    fault = named(scene)
    assert (fault.direction, fault.module, fault.operation) == ("forward", path, "div")
    assert fault.refinement == (refinement_of(part) or fault.refinement)
    assert fault.inputs[0].num_nan == fault.inputs[0].num_inf == 0


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("part", PARTS)
def test_a_bad_gradient_of_a_part_under_a_finite_loss_is_named(part: str, bad: float) -> None:
    scene = scene_of(part)
    path, module = first_convolution(scene.model, part)
    after(module, lambda out: SpoiltGradient.apply(out, bad))
    fault = named(scene)
    assert (fault.verdict, fault.direction) == (REPRODUCED, "backward")
    assert (fault.module, fault.operation) == (path, "SpoiltGradient")
    assert fault.refinement == (refinement_of(part) or fault.refinement)


def test_a_spoilt_row_names_its_sample_alone() -> None:
    scene = build_scene()
    _, module = first_convolution(scene.model, "shared")
    row = torch.tensor([1.0, 0.0, 1.0, 1.0])[:, None, None, None]
    after(module, lambda out: out / row)
    assert named(scene).sample_ids == (scene.batch.sample_ids[1],)


def test_a_hook_that_spoils_a_parameters_gradient_is_named_by_the_parameter() -> None:
    scene = build_scene()
    path, module = first_convolution(scene.model, "gate")
    module.weight.register_hook(lambda grad: grad * math.nan)
    fault = named(scene)
    assert (fault.direction, fault.module, fault.operation) == ("backward", path, "gradient of weight")


def test_gradients_whose_norm_alone_overflows_are_called_so() -> None:
    scene = build_scene()
    path, module = first_convolution(scene.model, "contour_detection")
    after(module, lambda out: SpoiltGradient.apply(out, 1e25))
    fault = named(scene)
    assert (fault.direction, fault.operation) == ("backward", "norm of the gradient")
    assert fault.module and "overflows" in fault.detail and path.startswith("contour_detection")


# --- the published defect ---------------------------------------------------------------


def published_edges(probs_N3HW: Tensor, *, half_at: float = 0.1) -> Tensor:
    """The root of squared forward differences with nothing under it: its derivative at a tie is infinite."""
    dx = F.pad(torch.diff(probs_N3HW, dim=3), (0, 1, 0, 0), mode="replicate")
    dy = F.pad(torch.diff(probs_N3HW, dim=2), (0, 0, 0, 1), mode="replicate")
    edges = (dx.square() + dy.square()).sqrt().mean(1, keepdim=True)
    return edges / (edges + half_at)


def attached(
    self: engine.tasks.person.model.boundary_refinement.BoundaryRefinement,
    log_probs: Tensor,
    image: Tensor,
    tap: object,
) -> Tensor:
    """The refiner with the gradient of its edge map let through, and a tie between neighbours."""
    probs = log_probs.exp()
    probs = torch.cat(
        [probs[:, :, :2, :1].expand(-1, -1, 2, 2).mean((2, 3), keepdim=True).expand(-1, -1, 16, 2), probs[..., 2:]], 3
    )
    gate = published_edges(probs)
    return (log_probs + gate * self.correct(torch.cat([probs, image], 1))).log_softmax(1)


def test_the_published_edge_map_is_named_at_a_tie(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = build_scene()
    monkeypatch.setattr(engine.tasks.person.model.boundary_refinement.BoundaryRefinement, "forward", attached)
    fault = named(scene)
    assert (fault.verdict, fault.direction, fault.module) == (REPRODUCED, "backward", "boundary_refinement")
    assert (fault.operation, fault.refinement) == ("sqrt", "boundary_refinement")
    assert "published_edges" in fault.source and "divides by zero" in fault.detail
    assert len(fault.terms) > 1 and fault.term == ""


def test_a_root_at_zero_in_a_loss_is_named_with_its_term(monkeypatch: pytest.MonkeyPatch) -> None:
    def flat(x: Tensor) -> Tensor:
        return published_edges(F.interpolate(x[..., ::2, ::2], scale_factor=2))

    scene = build_scene()
    monkeypatch.setattr(engine.tasks.person.losses.outline_losses, "gradient_magnitude", flat)
    fault = named(scene)
    assert (fault.module, fault.operation, fault.term) == ("active_contour", "sqrt", "active_contour")
    assert fault.refinement == "active_contour_loss"


# --- mixed precision --------------------------------------------------------------------


@pytest.mark.parametrize(("amp", "factor"), [(torch.float16, 1e6), (torch.bfloat16, 1e38)])
def test_a_fault_of_reduced_precision_alone_is_called_so(amp: torch.dtype, factor: float) -> None:
    scene = build_scene(amp=amp)
    path, module = first_convolution(scene.model, "target_branch")
    # what fits into fp32 overflows in fp16; bf16 reaches as far as fp32 but rounds its largest values up to infinity
    after(
        module,
        lambda out: (out / out.abs().amax() * (factor if amp is torch.float16 else 3.4e38)).to(out.dtype) / factor,
    )
    fault = named(scene)
    assert (fault.verdict, fault.module) == (ONLY_MIXED, path)
    assert "in fp32 is finite" in fault.detail


def test_an_overflow_of_the_scaled_gradient_is_one_of_mixed_precision() -> None:
    scene = build_scene(amp=torch.float16)
    scene.train_step.scaler.update(2.0**40)
    fault = named(scene)
    assert fault.verdict == ONLY_MIXED and fault.direction == "backward"


def test_a_fault_under_autocast_that_full_precision_has_too_is_reproduced() -> None:
    scene = build_scene(amp=torch.bfloat16)
    path, module = first_convolution(scene.model, "unet")
    after(module, lambda out: out / 0)
    fault = named(scene)
    assert (fault.verdict, fault.module) == (REPRODUCED, path)


# --- faults that do not come again ------------------------------------------------------


def test_a_step_that_is_finite_when_taken_again_is_called_vanished() -> None:
    fault = build_scene().name()
    assert fault.verdict == VANISHED and not fault.direction
    assert "agree to the last bit" in fault.detail


def test_replays_that_differ_point_to_the_machine() -> None:
    scene = build_scene()
    count = [0]

    def drift(out: Tensor) -> Tensor:
        count[0] += 1
        return out * (1 + 1e-3 * count[0])

    after(first_convolution(scene.model, "unet")[1], drift)
    fault = scene.name()
    assert fault.verdict == VANISHED and "differ by" in fault.detail


def test_of_two_replays_one_bad_one_is_told() -> None:
    scene = build_scene()
    count = [0]

    def sometimes(out: Tensor) -> Tensor:
        count[0] += 1
        return out / (count[0] % 2)

    after(first_convolution(scene.model, "unet")[1], sometimes)
    fault = scene.name()
    assert fault.verdict == VANISHED and "one was finite and one was not" in fault.detail


# --- several batches --------------------------------------------------------------------


def test_with_accumulation_the_batch_at_fault_is_told() -> None:
    scene = build_scene()
    second = random_batch(scene.config, num_rois=3, seed=77)
    image = second.tensors["image_N3HW"].clone()
    image[1, 0, 0, 0] = math.nan
    second = replace(with_tensor(second, "image_N3HW", image), sample_ids=("a", "b", "c"))
    evidence = replace(scene.evidence(), batches=(scene.batch, second))
    assert scene.name(evidence).sample_ids == ("b",)
