"""Gradient shares: measured in the one backward pass, equal to those of a second one, and limited exactly."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from engine.tasks.person.losses.terms import term_values
from engine.tasks.person.model.network import HierarchicalUNet
from engine.tasks.person.spec import SPEC, refinements_of
from engine.training.data.batch import Batch
from engine.training.gradients.grad_share import GradientTaps, held_scale
from engine.training.gradients.step_report import StepReport
from engine.training.step import TrainStep
from engine.training.step_plan import StepPlan, plan_for
from tests.person_state import person_state
from tests.small import random_batch, small_config, train_step_of

CONFIG = small_config(model={"dropout": 0.0})
ALL = refinements_of(4) | {"progressive_upsampling"}
WEIGHTS = {**CONFIG.loss.weights, "boundary_aware": 2.0, "contour": 3.0, "distance": 0.5}


def _plan(**changes: object) -> StepPlan:
    state = person_state(run="r", refinements=ALL, loss_weights=WEIGHTS)
    return replace(plan_for(1.0, state, CONFIG), **changes)


def _stepper() -> TrainStep:
    torch.manual_seed(0)
    model = HierarchicalUNet(CONFIG.model)
    with torch.no_grad():  # last layers start at zero, and nothing would flow through them
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return train_step_of(CONFIG, model)


def _metrics(report: StepReport, kind: str) -> dict[str, float]:
    pairs = zip(report.names, report.values, strict=True)
    return {name.removeprefix(f"{kind}/"): value for name, value in pairs if name.startswith(f"{kind}/")}


def _weighted(train_step: TrainStep, batch: Batch, plan: StepPlan) -> tuple[Tensor, dict[str, Tensor]]:
    outputs = train_step.model(batch.tensors["image_N3HW"], plan.active)
    raw = term_values(
        outputs, batch.tensors["label_NHW"], batch.tensors["distance_N1HW"], plan.terms, CONFIG.loss.class_weights
    )
    return outputs.log_probs_N3HW, {term: plan.weights[term] * value for term, value in raw.items()}


def test_the_share_of_a_loss_is_that_of_its_gradient_at_the_log_probabilities() -> None:
    train_step, batch, plan = _stepper(), random_batch(CONFIG), _plan(measure_shares=True)
    log_probs, weighted = _weighted(train_step, batch, plan)

    def norm(*terms: str) -> float:
        total = torch.stack([weighted[term] for term in terms]).sum()
        return float(torch.autograd.grad(total, log_probs, retain_graph=True)[0].norm())

    base = norm("cross_entropy", "dice")
    boundary, contour = norm("boundary_aware"), norm("active_contour")
    shares = _metrics(train_step.run([batch], plan).resolve(), "grad_share")
    assert shares["boundary_aware_loss"] == pytest.approx(boundary / (base + boundary + contour), rel=1e-4)
    assert shares["active_contour_loss"] == pytest.approx(contour / (base + boundary + contour), rel=1e-4)


def test_the_share_of_a_head_is_that_of_its_gradient_at_the_shared_features() -> None:
    train_step, batch, plan = _stepper(), random_batch(CONFIG), _plan(measure_shares=True)
    seen: list[Tensor] = []
    handle = train_step.model.shared.register_forward_hook(lambda *call: seen.append(call[2]))
    _, weighted = _weighted(train_step, batch, plan)
    handle.remove()
    outer = [(torch.autograd.grad(weighted[t], seen[0], retain_graph=True)[0]) for t in ("contour", "distance")]
    total = torch.autograd.grad(torch.stack(list(weighted.values())).sum(), seen[0], retain_graph=True)[0]
    shares = _metrics(train_step.run([batch], plan).resolve(), "grad_share")
    contour, distance = float(outer[0].norm()), float(outer[1].norm())
    assert shares["contour_detection"] / shares["distance_transform"] == pytest.approx(contour / distance, rel=1e-3)
    rest = 1 - sum(shares[n] for n in ("contour_detection", "distance_transform", "progressive_upsampling"))
    base_and_progressive = float((total - outer[0] - outer[1]).norm())
    assert 0 < rest < 1
    assert shares["contour_detection"] == pytest.approx(
        contour / (contour + distance + base_and_progressive), rel=0.2
    ), "the base's flow and the decoder's hardly cancel"


def test_every_refinement_that_is_on_has_a_share_between_0_and_1() -> None:
    shares = _metrics(_stepper().run([random_batch(CONFIG)], _plan(measure_shares=True)).resolve(), "grad_share")
    assert shares.keys() == ALL
    assert all(0 < share < 1 for share in shares.values())


def test_measuring_changes_no_bit_of_the_update() -> None:
    measured, plain, batch = _stepper(), _stepper(), random_batch(CONFIG)
    for _ in range(3):
        measured.run([batch], _plan(measure_shares=True))
        plain.run([batch], _plan(measure_shares=False))
    pairs = zip(measured.model.parameters(), plain.model.parameters(), strict=True)
    assert all(torch.equal(mine, theirs) for mine, theirs in pairs)


def test_accumulated_batches_have_one_share_together() -> None:
    plan = _plan(measure_shares=True)
    alone = _metrics(_stepper().run([random_batch(CONFIG)], plan).resolve(), "grad_share")
    twice = _metrics(_stepper().run([random_batch(CONFIG)] * 2, plan).resolve(), "grad_share")
    assert twice == pytest.approx(alone, rel=1e-4)


def test_a_step_that_is_not_measured_has_no_share() -> None:
    report = _stepper().run([random_batch(CONFIG)], _plan(measure_shares=False)).resolve()
    assert not _metrics(report, "grad_share") and not _metrics(report, "governor")


@pytest.mark.parametrize("bound", [0.05, 0.2, 0.6])
def test_no_refinement_has_more_than_the_bound_and_those_under_it_are_left_alone(bound: float) -> None:
    free = _metrics(_stepper().run([random_batch(CONFIG)], _plan(measure_shares=True)).resolve(), "grad_share")
    report = _stepper().run([random_batch(CONFIG)], _plan(max_grad_share=bound)).resolve()
    shares, scales = _metrics(report, "grad_share"), _metrics(report, "governor")
    assert shares.keys() == scales.keys() == ALL
    assert all(share <= bound * (1 + 1e-5) for share in shares.values())
    for name, scale in scales.items():
        assert 0 < scale <= 1
        assert scale < 1 or free[name] <= bound + 1e-6


def test_only_what_flows_into_the_trunk_is_scaled_and_the_head_s_own_parameters_learn_at_full_strength() -> None:
    torch.manual_seed(0)
    base, head = nn.Linear(3, 2), nn.Linear(3, 2)
    trunk = torch.randn(5, 3, requires_grad=True)
    read = trunk * 1.0
    taps = GradientTaps(SPEC, max_share=0.25)
    (base(read).sum() + 100 * head(taps("contour_detection", read)).square().sum()).backward()
    assert head.weight.grad is not None and trunk.grad is not None
    parameter_grad = head.weight.grad.clone()
    base_grad = base.weight.detach().sum(0).expand(5, 3)
    scale = float(taps.measured()["governor/contour_detection"])
    again = trunk.detach().clone().requires_grad_()
    (100 * head(again).square().sum()).backward()
    assert again.grad is not None
    torch.testing.assert_close(trunk.grad, base_grad + scale * again.grad, rtol=1e-4, atol=1e-3)
    assert float(scale * again.grad.norm()) == pytest.approx(float(base_grad.norm()) / 3, rel=1e-4)
    torch.testing.assert_close(head.weight.grad, 2 * parameter_grad, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_is_not_hidden(bad: float) -> None:
    scale = held_scale(torch.tensor(bad), torch.tensor(1.0), 0.2)
    assert not torch.isfinite(scale * torch.tensor(bad))
    train_step = _stepper()
    handle = train_step.model.contour_detection.register_full_backward_hook(
        lambda module, inner, outer: (torch.full_like(inner[0], bad),)
    )
    report = train_step.run([random_batch(CONFIG)], _plan(max_grad_share=0.2)).resolve()
    handle.remove()
    assert not report.finite and "extractor" in report.bad_modules


def test_without_any_gradient_of_a_refinement_its_scale_is_1() -> None:
    assert float(held_scale(torch.tensor(0.0), torch.tensor(1.0), 0.2)) == 1.0
    report = _stepper().run([random_batch(CONFIG)], _plan(weights={**WEIGHTS, "contour": 0.0}, max_grad_share=0.1))
    resolved = report.resolve()
    assert resolved.finite
    assert _metrics(resolved, "governor")["contour_detection"] == 1.0
    assert _metrics(resolved, "grad_share")["contour_detection"] == 0.0


@pytest.mark.parametrize("amp", [torch.bfloat16, torch.float16])
def test_reduced_precision_is_governed_too(amp: torch.dtype) -> None:
    torch.manual_seed(0)
    model = HierarchicalUNet(CONFIG.model)
    train_step = train_step_of(CONFIG, model, amp=amp)
    report = train_step.run([random_batch(CONFIG)], _plan(max_grad_share=0.1)).resolve()
    assert report.finite
    assert all(share <= 0.101 for share in _metrics(report, "grad_share").values())
