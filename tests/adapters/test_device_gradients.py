"""Gradients as on an accelerator, on the CPU: a fused update reads a flag, and any other waits for the verdict."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from engine.adapters.hooks.gradients.gradient_reader import GradientReader
from engine.adapters.steps.arrival import bring_to_host
from engine.adapters.steps.step_reading import StepReading, verdict_of
from tests.adapters.own_loop import assert_equal
from tests.adapters.small_network import all_state, backward, hooks_on, network
from tests.adapters.test_optimizer_hooks import OPTIMIZERS


@pytest.mark.parametrize("fused", [False, True], ids=["waiting", "with a flag"])
def test_on_a_device_an_update_without_gradients_or_with_sparse_ones_is_as_any_other(
    fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GradientReader, "is_read_now", property(lambda self: False))
    table = nn.Embedding(6, 3, sparse=not fused)
    options: dict[str, Any] = {"fused": True} if fused else {}
    optimizer = torch.optim.SGD(table.parameters(), lr=0.5, **options)
    hooks = hooks_on(table, optimizer)
    before = table.weight.detach().clone()
    optimizer.step()
    assert torch.equal(table.weight, before)
    for poison, changes in ((1.0, True), (math.nan, False)):
        before = table.weight.detach().clone()
        (table(torch.tensor([1, 1, 4])).sum() * poison).backward()
        optimizer.step()
        optimizer.zero_grad()
        assert torch.equal(table.weight, before) is not changes
    optimizer.state_dict()
    seen = hooks.take()
    assert seen.bad or not bool(seen.finite)


@pytest.mark.parametrize("name", ["adamw foreach", "adamw fused"])
def test_on_a_device_the_clip_of_the_program_does_not_hide_which_gradient_was_bad(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its clip makes every gradient NaN if one is; a fused update is judged by the parts of the network."""
    monkeypatch.setattr(GradientReader, "is_read_now", property(lambda self: False))
    model = network()
    optimizer = OPTIMIZERS[name](model.parameters())
    hooks = hooks_on(model, optimizer)
    before = all_state(model, optimizer)
    backward(model, 0, poisoned=True)
    parameters = list(model.parameters())
    total = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    hooks.note_clip(parameters, total)
    nn.utils.clip_grads_with_norm_(parameters, 1.0, total)
    optimizer.step()
    assert_equal(all_state(model, optimizer), before)
    reading = StepReading(hooks.take(), {}, 0.1)
    bring_to_host([reading])
    assert verdict_of(reading).bad == (("2.bias",) if name == "adamw foreach" else ("2",))
