"""Parameter groups, learning rates and moments of the two optimizers."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from engine.tasks.person.config import PersonConfig
from engine.tasks.person.spec import REFINEMENTS
from engine.training.optimizer import apply_learning_rates, build_optimizer, forget_moments, load_moments, moments_of
from engine.training.step_plan import plan_for
from tests.person_state import person_state


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(1, 4))
        self.contour_detection = nn.Conv2d(4, 2, 1)
        self.blend = nn.ParameterDict({"scale": nn.Parameter(torch.tensor(0.5))})


def _stepped(name: str = "adamw") -> tuple[_Net, torch.optim.Adam]:
    torch.manual_seed(0)
    net = _Net()
    optimizer = build_optimizer(name, dict(net.named_children()), 0.1, REFINEMENTS)
    for group in optimizer.param_groups:
        group["lr"] = 0.01
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return net, optimizer


def test_only_matrices_decay_not_norms_biases_or_scalars() -> None:
    net, optimizer = _stepped()
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    decayed = {name for name, p in net.named_parameters() if decay[id(p)] > 0}
    assert decayed == {"trunk.0.weight", "contour_detection.weight"}
    assert len(decay) == len(list(net.parameters()))


def test_a_switch_of_optimizer_keeps_the_moments() -> None:
    net, optimizer = _stepped("adamw")
    switched = build_optimizer("adam", dict(net.named_children()), 0.1, REFINEMENTS)
    load_moments(switched, net, moments_of(optimizer, net))
    assert isinstance(switched, torch.optim.Adam) and not isinstance(switched, torch.optim.AdamW)
    assert isinstance(optimizer, torch.optim.AdamW)
    for parameter in net.parameters():
        assert torch.equal(switched.state[parameter]["exp_avg"], optimizer.state[parameter]["exp_avg"])
        assert switched.state[parameter]["step"] == 1


def test_loaded_moments_are_copies() -> None:
    net, optimizer = _stepped()
    moments = moments_of(optimizer, net)
    load_moments(optimizer, net, moments)
    optimizer.state[net.contour_detection.weight]["exp_avg"].zero_()
    assert moments["contour_detection.weight"]["exp_avg"].abs().sum() > 0


def test_a_refinement_that_comes_on_again_starts_with_fresh_moments() -> None:
    net, optimizer = _stepped()
    forget_moments(optimizer, net.contour_detection)
    assert net.contour_detection.weight not in optimizer.state
    assert net.trunk[0].weight in optimizer.state


def test_learning_rates_follow_the_plan_and_ramp_only_the_fresh_part() -> None:
    _, optimizer = _stepped()
    config = PersonConfig()
    state = person_state(run="r", step=10, enabled_at={"contour_detection": 10}, loss_weights=config.loss.weights)
    plan = plan_for(1.0, state, config)
    apply_learning_rates(optimizer, plan)
    rates = {group["part"]: group["lr"] for group in optimizer.param_groups}
    assert rates["core"] == plan.lr
    assert 0 < rates["contour_detection"] < plan.lr


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_a_step_does_not_wait_for_the_import_of_the_compiler(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch._dynamo", None)  # an import raises
    net, optimizer = _stepped(name)
    optimizer.zero_grad(set_to_none=True)
    assert all(parameter.grad is None for parameter in net.parameters())


@pytest.mark.parametrize(("name", "original"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_a_step_is_that_of_torch_to_the_bit(name: str, original: type[torch.optim.Adam]) -> None:
    net, optimizer = _stepped(name)
    torch.manual_seed(0)
    twin = _Net()
    matrices = [p for p in twin.parameters() if p.ndim > 1]
    others = [p for p in twin.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    torchs = original(groups, lr=0.01, fused=True)
    for parameter in twin.parameters():
        parameter.grad = torch.ones_like(parameter)
    torchs.step()
    for ours, theirs in zip(net.parameters(), twin.parameters(), strict=True):
        assert torch.equal(ours, theirs)
        assert all(torch.equal(value, torchs.state[theirs][key]) for key, value in optimizer.state[ours].items())
