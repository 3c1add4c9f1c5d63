"""The step: its report, its clipping, and that a non-finite step changes nothing."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

import engine.tasks.person.losses.terms
import engine.training.step
from engine.tasks.person.config import PersonConfig
from engine.tasks.person.model.network import HierarchicalUNet
from engine.tasks.person.spec import REFINEMENTS, refinements_of
from engine.training.data.batch import Batch
from engine.training.gradients.step_report import StepReport, VectorLayout
from engine.training.optimizer import moments_of
from engine.training.step import TrainStep
from engine.training.step_plan import StepPlan, plan_for
from tests.person_state import person_state
from tests.small import random_batch, small_config, train_step_of, with_tensor

CONFIG = small_config(model={"dropout": 0.0})


def _stepper(config: PersonConfig = CONFIG, *, optimizer: str = "adamw", amp: torch.dtype | None = None) -> TrainStep:
    torch.manual_seed(0)
    model = HierarchicalUNet(config.model)
    return train_step_of(config, model, optimizer=optimizer, amp=amp)


def _plan(config: PersonConfig = CONFIG, **changes: object) -> StepPlan:
    state = person_state(run="r", refinements=refinements_of(4), loss_weights=config.loss.weights)
    return replace(plan_for(1.0, state, config), **changes)


def _run(train_step: TrainStep, batches: list[Batch], plan: StepPlan) -> StepReport:
    return train_step.run(batches, plan).resolve()


def _value(report: StepReport, name: str) -> float:
    return report.values[report.names.index(name)]


def _everything(train_step: TrainStep) -> dict[str, object]:
    return copy.deepcopy(
        {
            "model": train_step.model.state_dict(),
            "moments": moments_of(train_step.optimizer, train_step.model),
            "scaler": train_step.scaler.state_dict(),
        }
    )


def _equal(left: object, right: object) -> bool:
    if isinstance(left, torch.Tensor):
        return isinstance(right, torch.Tensor) and torch.equal(left, right)
    if isinstance(left, dict):
        return isinstance(right, dict) and left.keys() == right.keys() and all(_equal(left[k], right[k]) for k in left)
    return left == right


def test_the_total_is_the_sum_of_the_weighted_terms() -> None:
    report = _run(_stepper(), [random_batch(CONFIG)], _plan())
    weighted = [
        v for n, v in zip(report.names, report.values, strict=True) if n.startswith("loss/") and n != "loss/total"
    ]
    assert _value(report, "loss/total") == pytest.approx(sum(weighted), rel=1e-5)
    assert _value(report, "loss/dice") == pytest.approx(
        CONFIG.loss.weights["dice"] * _value(report, "loss_raw/dice"), rel=1e-5
    )


def test_norms_are_those_of_the_gradients_before_clipping() -> None:
    train_step, batch = _stepper(), random_batch(CONFIG)
    reference = copy.deepcopy(train_step)
    plan = _plan(gradient_clip=1e-3)
    report = _run(train_step, [batch], plan)
    reference._backward(batch, plan, 1.0)
    grads = {
        name: torch.cat([p.grad.flatten() for p in part.parameters() if p.grad is not None])
        for name, part in reference.model.parts().items()
        if any(p.grad is not None for p in part.parameters())
    }
    assert report.grad_norm == pytest.approx(float(torch.cat(list(grads.values())).norm()), rel=1e-4)
    for name, grad in grads.items():
        assert _value(report, f"grad_norm/{name}") == pytest.approx(float(grad.norm()), rel=1e-4, abs=1e-9)
        weights = torch.cat([p.flatten() for p in reference.model.parts()[name].parameters() if p.grad is not None])
        assert _value(report, f"weight_norm/{name}") == pytest.approx(float(weights.detach().norm()), rel=1e-4)


@pytest.mark.parametrize("clip", [1e-3, 1e3])
def test_the_update_is_that_of_plain_clipping_and_adamw(clip: float) -> None:
    train_step, batch, plan = _stepper(), random_batch(CONFIG), _plan(gradient_clip=clip)
    reference = copy.deepcopy(train_step)
    plain = torch.optim.AdamW(
        [{**group, "lr": plan.lr, "fused": False} for group in reference.optimizer.param_groups], lr=plan.lr
    )
    for _ in range(3):
        _run(train_step, [batch], plan)
        reference._backward(batch, plan, 1.0)
        nn.utils.clip_grad_norm_(reference.model.parameters(), clip)
        plain.step()
        plain.zero_grad()
    for ours, theirs in zip(train_step.model.parameters(), reference.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=2e-5)


def test_accumulated_batches_give_the_gradient_of_their_regions_together() -> None:
    small, large = random_batch(CONFIG, num_rois=1, seed=1), random_batch(CONFIG, num_rois=3, seed=2)
    even = small_config(model={"dropout": 0.0}, loss={"class_weights": (1.0, 1.0, 1.0)})
    plan = _plan(terms=("cross_entropy",), active=frozenset())
    together = replace(
        small,
        tensors={name: torch.cat([small.tensors[name], large.tensors[name]]) for name in small.tensors},
        sample_ids=(*small.sample_ids, *large.sample_ids),
    )
    apart = _run(_stepper(even), [small, large], plan)
    whole = _run(_stepper(even), [together], plan)
    assert apart.loss == pytest.approx(whole.loss, rel=1e-5)
    assert apart.grad_norm == pytest.approx(whole.grad_norm, rel=1e-4)


def test_a_refinement_that_is_off_has_no_gradient_no_norm_and_no_moments() -> None:
    train_step = _stepper()
    report = _run(
        train_step, [random_batch(CONFIG)], _plan(active=frozenset(), terms=("cross_entropy", "dice", "auxiliary"))
    )
    parts = train_step.model.parts()
    for name in set(REFINEMENTS) & set(parts):
        assert f"grad_norm/{name}" not in report.names
        assert all(p not in train_step.optimizer.state for p in parts[name].parameters())


def _nan_input(batch: Batch) -> Batch:
    image = batch.tensors["image_N3HW"].clone()
    image[0, 0, 3, 3] = math.nan
    return with_tensor(batch, "image_N3HW", image)


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_a_non_finite_loss_leaves_parameters_moments_and_scaler_bit_identical(optimizer: str) -> None:
    train_step, batch, plan = _stepper(optimizer=optimizer), random_batch(CONFIG), _plan()
    _run(train_step, [batch], plan)
    before = _everything(train_step)
    report = _run(train_step, [_nan_input(batch)], plan)
    assert not report.finite
    assert "cross_entropy" in report.bad_terms
    assert _equal(_everything(train_step), before)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_non_finite_gradient_under_a_finite_loss_is_skipped_and_its_module_named(bad: float) -> None:
    train_step, batch, plan = _stepper(), random_batch(CONFIG), _plan()
    _run(train_step, [batch], plan)
    before = _everything(train_step)
    weight = next(train_step.model.parts()["gate"].parameters())
    handle = weight.register_hook(lambda grad: torch.full_like(grad, bad))
    report = _run(train_step, [batch], plan)
    handle.remove()
    assert not report.finite and report.bad_modules == ("gate",) and report.bad_terms == ()
    assert math.isfinite(report.loss)
    assert _equal(_everything(train_step), before)
    assert _run(train_step, [batch], plan).finite, "the step after it trains again"
    assert not _equal(_everything(train_step), before)


def test_under_fp16_a_non_finite_loss_leaves_the_scaler_as_it_was_and_an_overflow_lowers_it() -> None:
    train_step, batch, plan = _stepper(amp=torch.float16), random_batch(CONFIG), _plan()
    _run(train_step, [batch], plan)
    before = _everything(train_step)
    assert not _run(train_step, [_nan_input(batch)], plan).finite
    assert _equal(_everything(train_step), before)
    weight = next(train_step.model.parts()["gate"].parameters())
    handle = weight.register_hook(lambda grad: torch.full_like(grad, math.inf))
    assert not _run(train_step, [batch], plan).finite
    handle.remove()
    after = _everything(train_step)
    assert _equal(after["model"], before["model"]) and _equal(after["moments"], before["moments"])
    assert train_step.scaler.get_scale() == 0.5 * before["scaler"]["scale"]  # type: ignore[index]


@pytest.mark.parametrize("amp", [torch.bfloat16, torch.float16])
def test_reduced_precision_trains_and_keeps_the_losses_in_full_precision(amp: torch.dtype) -> None:
    train_step, batch, plan = _stepper(amp=amp), random_batch(CONFIG), _plan()
    losses = [_run(train_step, [batch], replace(plan, lr=3e-3)).loss for _ in range(8)]
    assert all(map(math.isfinite, losses)) and losses[-1] < losses[0]


def test_a_refinement_loss_over_its_clamp_is_counted_and_bounded() -> None:
    report = _run(_stepper(), [random_batch(CONFIG)], _plan(clamp_max=0.01))
    assert _value(report, "clamp_hits/boundary_aware") == 1.0
    assert _value(report, "loss/boundary_aware") <= 0.01 * CONFIG.loss.weights["boundary_aware"] * 1.0001
    assert _value(report, "loss_raw/boundary_aware") > 0.01
    assert report.clamp_hits == 4


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_hard_clamp_does_not_hide_a_term_that_is_not_finite(bad: float, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = engine.tasks.person.losses.terms.term_values

    def spoilt(*args: object) -> dict[str, torch.Tensor]:
        found = honest(*args)  # type: ignore[arg-type]
        return {**found, "boundary_aware": found["boundary_aware"] * bad}

    train_step, batch, plan = _stepper(), random_batch(CONFIG), _plan(clamp_mode="hard")
    _run(train_step, [batch], plan)
    before = _everything(train_step)
    monkeypatch.setattr(engine.tasks.person.losses.terms, "term_values", spoilt)
    report = _run(train_step, [batch], plan)
    assert not report.finite and report.bad_terms == ("boundary_aware",)
    assert _equal(_everything(train_step), before)


def test_the_base_terms_are_never_clamped() -> None:
    report = _run(_stepper(), [random_batch(CONFIG)], _plan(clamp_max=0.01))
    assert _value(report, "loss/cross_entropy") > 0.5
    assert "clamp_hits/cross_entropy" not in report.names


def test_a_vector_is_unpacked_in_the_order_it_is_written_and_never_with_another_length() -> None:
    layout = VectorLayout(("dice", "edge"), ("backbone",), ("clip/threshold",), ("weights/backbone",))
    values = layout.unpack([float(value) for value in range(12)])
    assert (values.total, values.grad_norm) == (0.0, 7.0)
    assert [*values.weighted.items(), *values.raw.items(), *values.hits.items()] == [
        ("dice", 1.0), ("edge", 2.0), ("dice", 3.0), ("edge", 4.0), ("dice", 5.0), ("edge", 6.0)
    ]  # fmt: skip
    assert (values.grad_norms, values.weight_norms) == ({"backbone": 8.0}, {"backbone": 9.0})
    assert (values.extras, values.checks) == ({"clip/threshold": 10.0}, {"weights/backbone": 11.0})
    with pytest.raises(ValueError, match="13 values, not 12"):
        layout.unpack([0.0] * 13)
