"""The boundary refinement module on its own."""

from __future__ import annotations

import pytest
import torch

from engine.tasks.person.model.boundary_refinement import BoundaryRefinement


def two_halves(margin: float) -> torch.Tensor:
    logits = torch.zeros(1, 3, 16, 16)
    logits[:, 0, :, :8] = margin
    logits[:, 1, :, 8:] = margin
    return logits


def test_it_changes_the_classes_where_they_meet_and_nowhere_else(stirred):
    refine = BoundaryRefinement(8)
    stirred(refine)
    before = two_halves(30).log_softmax(dim=1)
    moved = (refine(before, torch.rand(1, 3, 16, 16)) - before).abs().amax(dim=(0, 1))
    assert moved[:, 7:9].min() > 0.01
    assert torch.cat([moved[:, :6], moved[:, 10:]], dim=1).max() < 1e-5


def test_it_can_turn_a_confident_boundary_pixel_round():
    refine = BoundaryRefinement(8)
    with torch.no_grad():
        refine.correct[-1].bias.copy_(torch.tensor([0.0, 40.0, 0.0]))
    before = two_halves(20).log_softmax(dim=1)
    after = refine(before, torch.zeros(1, 3, 16, 16))
    assert (before.argmax(dim=1)[0, :, 7] == 0).all() and (after.argmax(dim=1)[0, :, 7] == 1).all()
    assert (after.argmax(dim=1)[0, :, :6] == 0).all()


def test_in_a_few_steps_it_learns_to_move_a_boundary():
    torch.manual_seed(0)
    refine = BoundaryRefinement(8)
    before = two_halves(2).log_softmax(dim=1)
    label = torch.zeros(1, 16, 16, dtype=torch.long)
    label[..., 7:] = 1
    optimizer = torch.optim.Adam(refine.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.nll_loss(refine(before, torch.zeros(1, 3, 16, 16)), label).backward()
        optimizer.step()
    assert (before.argmax(dim=1) != label).sum() == 16
    assert torch.equal(refine(before, torch.zeros(1, 3, 16, 16)).argmax(dim=1), label)


@pytest.mark.parametrize("margin", [0.0, 12.0, 1e3, 1e6])
def test_gradients_are_finite_on_constant_and_saturated_logits(stirred, margin):
    refine = BoundaryRefinement(8)
    stirred(refine)
    logits = two_halves(margin).requires_grad_()
    refine(logits.log_softmax(dim=1), torch.zeros(1, 3, 16, 16))[:, 2].sum().backward()
    assert logits.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in refine.parameters())


def test_its_output_is_normalised(stirred):
    refine = BoundaryRefinement(8)
    stirred(refine)
    refined = refine(torch.randn(2, 3, 8, 8).log_softmax(dim=1), torch.rand(2, 3, 8, 8))
    torch.testing.assert_close(refined.exp().sum(dim=1), torch.ones(2, 8, 8))
