"""Process-wide hooks: the user's clip, GradScaler, and losses on which `backward` is called."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import nn

from engine.adapters.hooks import patches
from engine.adapters.hooks.optimizer_hooks import OptimizerHooks
from tests.adapters.own_loop import assert_equal
from tests.adapters.small_network import backward, hooks_on, network

Build = Callable[[Any], torch.optim.Optimizer]


@pytest.fixture
def patched() -> Iterator[Callable[[OptimizerHooks], None]]:
    """Install the process-wide hooks for the test only."""
    installed: list[OptimizerHooks] = []

    def install(hooks: OptimizerHooks) -> None:
        patches.install(hooks)
        installed.append(hooks)

    yield install
    for hooks in installed:
        patches.remove(hooks)


def test_the_parameter_is_named_although_the_users_clip_spreads_the_nan(patched: Callable[..., None]) -> None:
    """One NaN makes every clipped gradient NaN: names are taken before."""
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    hooks = hooks_on(model, optimizer)
    patched(hooks)
    backward(model, 0, poisoned=True)
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    assert hooks.take().bad == ("2.bias",)


def test_the_norm_shown_is_that_before_the_users_clip(patched: Callable[..., None]) -> None:
    """A clipped norm would be constant."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    hooks = hooks_on(model, optimizer)
    patched(hooks)
    backward(model, 0)
    norm = float(nn.utils.clip_grad_norm_(model.parameters(), 1e-3))
    optimizer.step()
    seen = hooks.take()
    assert seen.grad_norm == pytest.approx(norm, rel=1e-5)
    assert seen.norms[0].by_part() != {}
    assert math.hypot(*seen.norms[0].by_part().values()) == pytest.approx(norm, rel=1e-5)


def test_a_step_skipped_by_the_loss_scaler_is_counted_and_named(patched: Callable[..., None]) -> None:
    """A GradScaler does not call the optimizer at all, so its hooks alone would see nothing."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    hooks = hooks_on(model, optimizer)
    patched(hooks)
    before = copy.deepcopy(model.state_dict())
    for step, poisoned in enumerate((True, False)):
        torch.manual_seed(step)
        scaler.scale(model(torch.randn(5, 4)).square().mean()).backward()
        if poisoned:
            model[2].bias.grad.fill_(math.inf)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        seen = hooks.take()
        assert seen.count == 1
        if poisoned:
            assert seen.bad == ("2.bias",) and seen.scaler_skipped is not None
            assert_equal(dict(model.state_dict()), dict(before))
        else:
            assert not seen.is_skipped and seen.grad_norm > 0


def test_the_loss_under_a_loss_scaler_is_noted_unscaled(patched: Callable[..., None]) -> None:
    model = network()
    hooks = hooks_on(model, torch.optim.SGD(model.parameters(), lr=0.1))
    patched(hooks)
    loss = model(torch.randn(5, 4)).square().mean()
    torch.amp.GradScaler("cpu", init_scale=2.0**16).scale(loss).backward()
    assert [float(noted) for noted in hooks.update.losses] == [float(loss.detach())]


def test_an_optimizer_that_is_known_after_the_first_clip_still_shows_the_norm_before_it(
    patched: Callable[..., None],
) -> None:
    """An untouched program's optimizer is seen at its first step only."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    hooks = hooks_on(model)
    patched(hooks)
    backward(model, 0)
    norm = nn.utils.clip_grad_norm_(model.parameters(), 1e-3).item()
    hooks.watch(optimizer)
    optimizer.step()
    assert hooks.take().grad_norm == pytest.approx(norm, rel=1e-5)


def test_gradients_of_a_training_in_another_thread_are_not_looked_at(
    patched: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That thread may be freeing them, which ended the process with a segmentation fault."""
    model, other = network(), network()
    hooks = hooks_on(model, torch.optim.SGD(model.parameters(), lr=0.1))
    with ThreadPoolExecutor(1) as pool:
        of_other = pool.submit(hooks_on, other, torch.optim.SGD(other.parameters(), lr=0.1)).result()
    patched(hooks)
    patched(of_other)
    looked_at: list[OptimizerHooks] = []
    monkeypatch.setattr(patches, "_marks", looked_at.append)
    backward(model, 0)
    assert len(hooks.update.losses) == 1 and not of_other.update.losses
    assert not looked_at
