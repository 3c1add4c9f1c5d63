"""Every loss term: gradients, minima and names."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.tasks.person.config import PersonLossConfig
from engine.tasks.person.losses.class_losses import auxiliary_loss, boundary_aware_loss, cross_entropy, soft_dice
from engine.tasks.person.losses.morphology import target_contour
from engine.tasks.person.losses.outline_losses import active_contour_loss, contour_loss, distance_loss
from engine.tasks.person.losses.terms import term_values
from engine.tasks.person.model.outputs import Outputs
from engine.tasks.person.spec import LOSS_TERMS, active_terms, refinements_of

CLASS_LOSSES = [cross_entropy, soft_dice, boundary_aware_loss, active_contour_loss]
ONE_LOGIT_LOSSES = [auxiliary_loss, contour_loss]
Loss = Callable[[Tensor, Tensor], Tensor]


def class_outputs(logits_N3HW: Tensor, label_NHW: Tensor, confidence: float) -> Outputs:
    """Heads that all say what `logits_N3HW` say, as sure as `confidence`."""
    target = (logits_N3HW.argmax(dim=1) == 1).unsqueeze(1).float()
    foreground = (logits_N3HW.argmax(dim=1) > 0).unsqueeze(1).float()
    return Outputs(
        log_probs_N3HW=logits_N3HW.log_softmax(dim=1),
        auxiliary_N1HW=confidence * (2 * foreground - 1),
        contour_N1HW=confidence * (2 * target_contour(target.squeeze(1).long()) - 1),
        distance_N1HW=2 * target - 1,
    )


@pytest.mark.parametrize("loss", CLASS_LOSSES)
def test_a_class_loss_is_finite_with_finite_gradients_on_hard_logits(loss: Loss, hard_logits, label_NHW):
    hard_logits.requires_grad_()
    value = loss(hard_logits.log_softmax(dim=1), label_NHW)
    value.backward()
    assert value.isfinite() and hard_logits.grad.isfinite().all()


@pytest.mark.parametrize("loss", ONE_LOGIT_LOSSES)
def test_a_one_logit_loss_is_finite_with_finite_gradients_on_hard_logits(loss: Loss, hard_logits, label_NHW):
    logit = hard_logits[:, :1].clone().requires_grad_()
    value = loss(logit, label_NHW)
    value.backward()
    assert value.isfinite() and logit.grad.isfinite().all()


@pytest.mark.parametrize("value", [0.0, 1.0, -1e6, 1e6])
def test_the_distance_loss_has_finite_gradients_on_hard_values(value, distance_N1HW):
    predicted = torch.full_like(distance_N1HW, value).requires_grad_()
    distance_loss(predicted, distance_N1HW).backward()
    assert predicted.grad.isfinite().all()


@pytest.mark.parametrize("loss", CLASS_LOSSES)
@pytest.mark.parametrize("scale", [0.1, 3.0])
def test_a_class_loss_has_the_gradient_of_its_formula(loss: Loss, scale):
    label = torch.randint(0, 3, (2, 5, 6))
    logits = (scale * torch.randn(2, 3, 5, 6, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x.log_softmax(dim=1), label), (logits,))


@pytest.mark.parametrize("loss", ONE_LOGIT_LOSSES)
def test_a_one_logit_loss_has_the_gradient_of_its_formula(loss: Loss):
    label = torch.randint(0, 3, (2, 5, 6))
    logit = torch.randn(2, 1, 5, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: loss(x, label), (logit,))


def test_the_distance_loss_has_the_gradient_of_its_formula():
    distance = torch.rand(2, 1, 5, 6, dtype=torch.float64) * 2 - 1
    value = torch.randn(2, 1, 5, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: distance_loss(x, distance), (value,))


@pytest.mark.parametrize("term", LOSS_TERMS)
def test_the_truth_is_the_minimum_and_no_constant_map_beats_it(term, label_NHW, distance_N1HW):
    def value(logits: Tensor, distance: Tensor) -> float:
        outputs = class_outputs(logits, label_NHW, 30.0)
        outputs.distance_N1HW = distance
        return float(term_values(outputs, label_NHW, distance_N1HW, (term,))[term])

    truth = value(30 * F.one_hot(label_NHW, 3).permute(0, 3, 1, 2).float(), distance_N1HW)
    assert -1e-6 < truth < 1e-3
    for everywhere in range(3):
        constant = torch.full_like(label_NHW, everywhere)
        logits = 30 * F.one_hot(constant, 3).permute(0, 3, 1, 2).float()
        assert value(logits, torch.full_like(distance_N1HW, -1.0 if everywhere != 1 else 1.0)) > truth + 0.05


@pytest.mark.parametrize("term", LOSS_TERMS)
def test_a_step_down_the_gradient_from_an_undecided_start_helps(term, label_NHW, distance_N1HW):
    heads = [torch.zeros(2, channels, 24, 24, requires_grad=True) for channels in (3, 1, 1, 1)]

    def value() -> Tensor:
        outputs = Outputs(heads[0].log_softmax(dim=1), *heads[1:])
        return term_values(outputs, label_NHW, distance_N1HW, (term,))[term]

    before = value()
    before.backward()
    with torch.no_grad():
        for head in heads:
            if head.grad is not None:
                head.sub_(10 * head.grad)
    assert value() < before.detach()


def test_terms_come_in_the_order_asked_for_as_float32_scalars(label_NHW, distance_N1HW):
    outputs = class_outputs(torch.randn(2, 3, 24, 24), label_NHW, 1.0)
    with torch.autocast("cpu", torch.bfloat16):
        values = term_values(outputs, label_NHW, distance_N1HW, tuple(reversed(LOSS_TERMS)))
    assert tuple(values) == tuple(reversed(LOSS_TERMS))
    assert all(value.dtype == torch.float32 and value.shape == () for value in values.values())


def test_a_term_without_its_head_is_a_programming_error(label_NHW, distance_N1HW):
    outputs = class_outputs(torch.zeros(2, 3, 24, 24), label_NHW, 1.0)
    outputs.contour_N1HW = None
    with pytest.raises(AssertionError, match="did not compute"):
        term_values(outputs, label_NHW, distance_N1HW, ("contour",))


def test_cross_entropy_and_auxiliary_are_ln3_and_ln2_when_undecided(label_NHW):
    uniform = torch.full((2, 3, 24, 24), -math.log(3))
    assert float(cross_entropy(uniform, label_NHW)) == pytest.approx(math.log(3))
    assert float(auxiliary_loss(torch.zeros(2, 1, 24, 24), label_NHW)) == pytest.approx(math.log(2))


def test_dice_is_that_of_the_two_kinds_of_people_over_the_batch(label_NHW):
    log_probs = torch.randn(2, 3, 24, 24).log_softmax(dim=1)
    parts = []
    for kind in (1, 2):
        probs, truth = log_probs.exp()[:, kind], (label_NHW == kind).float()
        parts.append(1 - (2 * (probs * truth).sum() + 1) / (probs.sum() + truth.sum() + 1))
    assert float(soft_dice(log_probs, label_NHW)) == pytest.approx(float(sum(parts)) / 2)


def test_dice_leaves_out_people_who_are_not_there():
    label = torch.zeros(1, 8, 8, dtype=torch.long)
    log_probs = torch.randn(1, 3, 8, 8).log_softmax(dim=1)
    assert float(soft_dice(log_probs, label)) == 0
    label[0, :4] = 1
    alone = soft_dice(torch.tensor([0.2, 0.5, 0.3]).log().reshape(1, 3, 1, 1).expand(1, 3, 8, 8), label)
    assert float(alone) == pytest.approx(1 - (2 * 16 + 1) / (32 + 32 + 1))


def test_boundary_aware_reads_the_band_alone_and_does_not_grow_with_it(label_NHW):
    logits = torch.zeros(2, 3, 24, 24)
    logits[0, 0, 22:, :] = 50
    logits[0, 0, :, 23] = 50
    assert float(boundary_aware_loss(logits.log_softmax(dim=1), label_NHW)) == pytest.approx(math.log(3))
    assert float(boundary_aware_loss(logits.log_softmax(dim=1)[:1], label_NHW[:1])) == pytest.approx(math.log(3))


def test_boundary_aware_is_nothing_without_a_boundary():
    label = torch.ones(1, 8, 8, dtype=torch.long)
    log_probs = torch.randn(1, 3, 8, 8).log_softmax(dim=1)
    assert float(boundary_aware_loss(log_probs, label)) == 0


def test_active_contour_prefers_the_truth_to_a_ragged_or_a_shifted_outline(label_NHW):
    def value(label: Tensor) -> float:
        return float(
            active_contour_loss((30 * F.one_hot(label, 3).permute(0, 3, 1, 2)).float().log_softmax(1), label_NHW)
        )

    ragged = label_NHW.clone()
    ragged[0, 2:18:2, 14:17] = 1
    assert value(label_NHW) < value(label_NHW.roll(1, dims=1)) < value(label_NHW.roll(3, dims=1))
    assert value(label_NHW) < value(ragged)


def test_active_contour_charges_for_length_beside_area():
    label = torch.zeros(1, 24, 24, dtype=torch.long)
    label[0, 2:8, 2:8] = 1

    def value(extra: list[tuple[int, int]]) -> float:
        drawn = label.clone()
        for y, x in extra:
            drawn[0, y, x] = 1
        return float(active_contour_loss((30 * F.one_hot(drawn, 3).permute(0, 3, 1, 2)).float().log_softmax(1), label))

    together = [(y, x) for y in range(16, 19) for x in range(16, 19)]
    scattered = [(y, x) for y in range(12, 22, 4) for x in range(12, 22, 4)]
    assert len(together) == len(scattered) and value(together) < value(scattered)


def test_contour_counts_the_outline_as_much_as_the_rest(label_NHW):
    contour = target_contour(label_NHW)
    empty, full = torch.full_like(contour, -9.0), torch.full_like(contour, 9.0)
    assert float(contour_loss(empty, label_NHW)) == pytest.approx(float(contour_loss(full, label_NHW)), rel=1e-4)
    assert float(contour_loss(torch.zeros_like(contour), label_NHW)) == pytest.approx(math.log(2))
    assert float(contour_loss(18 * contour - 9, label_NHW)) < 1e-3


def test_contour_is_sound_where_there_is_no_outline():
    label = torch.zeros(1, 8, 8, dtype=torch.long)
    assert float(contour_loss(torch.zeros(1, 1, 8, 8), label)) == pytest.approx(math.log(2))
    assert float(contour_loss(torch.full((1, 1, 8, 8), -40.0), label)) < 1e-6


@pytest.mark.parametrize("frequencies", [(0.39, 0.53, 0.08), (0.49, 0.37, 0.15), (0.9, 0.1, 0.0), (0.05, 0.94, 0.01)])
def test_the_stable_phase_starts_within_the_seeds_range(frequencies):
    background, target, _ = (round(64 * share) for share in frequencies)
    label = torch.full((2, 64, 64), 2)
    label[..., :background] = 0
    label[..., background : background + target] = 1
    outputs = Outputs(0.1 * torch.randn(2, 3, 64, 64), 0.1 * torch.randn(2, 1, 64, 64))
    outputs.log_probs_N3HW = outputs.log_probs_N3HW.log_softmax(dim=1)
    values = term_values(outputs, label, torch.zeros(2, 1, 64, 64), active_terms(refinements_of(1)))
    assert 1.55 < sum(PersonLossConfig().weights[term] * float(value) for term, value in values.items()) < 1.95
