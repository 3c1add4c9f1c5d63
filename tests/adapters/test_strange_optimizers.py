"""Optimizers of other origin than torch: wrappers, two steps for one, and such as need a gradient."""

from __future__ import annotations

import gc
import math
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary, ref

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from cockpit import Cockpit
from engine.adapters.child.main_optimizer import MainOptimizer
from engine.adapters.hooks.gradients.parameter_names import ParameterNames
from engine.adapters.hooks.optimizer_hooks import OptimizerHooks
from engine.adapters.hooks.optimizers.wrapped_optimizers import updating
from engine.protocol import commands as c
from engine.protocol import events as e
from tests.adapters.own_loop import assert_equal, events, rows, send, state_of

Make = Callable[[nn.Module], Any]
STEPS = 12
BAD = 5


class Wrapper(Optimizer):
    """As Lookahead and accelerate's: it never calls the constructor of torch."""

    def __init__(self, inner: Optimizer) -> None:
        self.inner = inner
        self.param_groups = inner.param_groups
        self.defaults = inner.defaults
        self.state = defaultdict(dict)

    def step(self, closure: Any = None) -> Any:
        """Let the inner one update."""
        return self.inner.step(closure)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Let the inner one do it: that of torch needs its constructor."""
        self.inner.zero_grad(set_to_none)


class TwoSteps(Optimizer):
    """As SAM: a step up, and from there the gradient for the step down."""

    def __init__(self, inner: Optimizer) -> None:
        super().__init__(inner.param_groups, {"radius": 0.05})
        self.inner = inner

    @torch.no_grad()
    def up(self) -> None:
        """Move against the descent."""
        for parameter in self._trained():
            self.state[parameter]["before"] = parameter.detach().clone()
            parameter.add_(parameter.grad, alpha=0.05)
        self.zero_grad()

    @torch.no_grad()
    def down(self) -> None:
        """Return, and let the inner one update."""
        for parameter in self._trained():
            parameter.copy_(self.state[parameter]["before"])
        self.inner.step()
        self.zero_grad()

    def step(self, closure: Any = None) -> Any:
        """Do both."""
        again = torch.enable_grad()(closure)
        again()
        self.up()
        again()
        self.down()

    def _trained(self) -> list[Any]:
        return [p for group in self.param_groups for p in group["params"] if p.grad is not None]


class Demanding(Optimizer):
    """It asks for a gradient of each parameter, counts by itself, and decays weights and averages."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, {"lr": 0.05})
        self.num_updates = 0

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Update."""
        self.num_updates += 1
        for group in self.param_groups:
            for parameter in group["params"]:
                assert parameter.grad is not None
                average = self.state[parameter].setdefault("average", torch.zeros_like(parameter))
                average.lerp_(parameter.grad, 1 / (self.num_updates + 1))
                parameter.mul_(0.99).add_(average, alpha=-group["lr"])


class Lenient(Demanding):
    """It takes a missing gradient for zero."""

    def step(self, closure: Any = None) -> Any:
        """Update."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
        super().step()


def _momentum(model: nn.Module) -> Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)


def _accelerated(model: nn.Module) -> Any:
    return pytest.importorskip("accelerate").Accelerator(cpu=True).prepare(_momentum(model))


KINDS: dict[str, Make] = {
    "wrapper": lambda model: Wrapper(_momentum(model)),
    "wrapper of a wrapper": lambda model: Wrapper(Wrapper(_momentum(model))),
    "accelerate": _accelerated,
    "two steps": lambda model: TwoSteps(_momentum(model)),
    "two steps in a closure": lambda model: TwoSteps(_momentum(model)),
    "demanding": lambda model: Demanding(model.parameters()),
    "lenient": lambda model: Lenient(model.parameters()),
}


class Training:
    """A network, and an optimizer of some kind."""

    def __init__(self, kind: str) -> None:
        torch.manual_seed(0)
        self.kind = kind
        self.model = nn.Linear(3, 2)
        self.optimizer = KINDS[kind](self.model)
        self.inputs = torch.randn(STEPS, 4, 3)

    def loss(self, number: int, factor: float = 1.0) -> Tensor:
        """Return the loss of a step."""
        return (self.model(self.inputs[number]) - 1).square().mean() * factor

    def step(self, number: int, factor: float = 1.0) -> None:
        """Make a step; its gradients are multiplied by `factor`."""
        optimizer = self.optimizer
        if self.kind == "two steps in a closure":

            def again() -> Tensor:
                optimizer.zero_grad()
                loss = self.loss(number, factor)
                loss.backward()
                return loss

            optimizer.step(again)
            return
        self.loss(number, factor).backward()
        if self.kind == "two steps":
            optimizer.up()
            self.loss(number, factor).backward()
            optimizer.down()
        else:
            optimizer.step()
            optimizer.zero_grad()

    def state(self) -> Any:
        """Return weights and moments."""
        moments = [dict(one.state) for one in updating(self.optimizer)]
        parameters = list(self.model.parameters())
        numbers = getattr(self.optimizer, "num_updates", 0)
        return [[p.detach() for p in parameters], [[held.get(p) for p in parameters] for held in moments], numbers]


@pytest.mark.parametrize("kind", KINDS)
def test_a_non_finite_step_changes_nothing_and_all_others_are_as_without_us(runs: Path, kind: str) -> None:
    """The steps of the optimizer that carries out the updates are recorded, once each."""
    bare, watched = Training(kind), Training(kind)
    for number in range(STEPS):
        if number != BAD:
            bare.step(number)
    with Cockpit(watched.model, watched.optimizer, run="one", runs_dir=runs) as cockpit:
        for number in cockpit.steps(range(STEPS)):
            watched.step(number, math.nan if number == BAD else 1.0)
    assert_equal(bare.state(), watched.state())
    found = rows(runs / "one")
    assert [row["skipped"] for row in found.values()] == [float(number == BAD) for number in range(STEPS)]
    (skipped,) = events(runs / "one", e.StepSkipped)
    assert skipped.modules == ("weight", "bias")


@pytest.mark.parametrize("kind", ["wrapper", "accelerate", "two steps"])
def test_the_rate_of_a_wrapped_optimizer_is_scaled_once(runs: Path, kind: str) -> None:
    """Its groups are those of the wrapper."""
    training = Training(kind)
    with Cockpit(training.model, training.optimizer, run="one", runs_dir=runs) as cockpit:
        for number in cockpit.steps(range(4)):
            training.step(number)
            if number == 1:
                send(cockpit, c.ScaleLr(0.5))
    assert [row["lr"] for row in rows(runs / "one").values()] == pytest.approx([0.05, 0.05, 0.025, 0.025])
    assert training.optimizer.param_groups[0]["lr"] == 0.05


@pytest.mark.parametrize("kind", ["wrapper", "accelerate", "two steps", "demanding"])
def test_a_wrapped_optimizer_is_resumed_and_still_shares_its_groups(runs: Path, kind: str) -> None:
    """A schedule of the wrapper reaches the optimizer inside."""
    whole, first, second = Training(kind), Training(kind), Training(kind)
    for number in range(STEPS):
        whole.step(number)
    with Cockpit(first.model, first.optimizer, run="one", runs_dir=runs) as cockpit:
        for number in cockpit.steps(range(6)):
            first.step(number)
    second.optimizer.param_groups[0]["lr"] = 1.0  # that of the checkpoint counts
    with Cockpit(second.model, second.optimizer, run="one", runs_dir=runs, resume=True) as cockpit:
        for number in cockpit.steps(range(6)):
            second.step(number + 6)
    if kind != "demanding":  # which keeps a count outside of its state
        assert_equal(whole.state(), second.state())
    (inner,) = updating(second.optimizer)
    assert inner.param_groups[0] is second.optimizer.param_groups[0]
    assert state_of(runs / "one").step == STEPS


def test_an_optimizer_that_an_untouched_program_gives_up_is_not_kept() -> None:
    """Nor is its network: a program of several folds has the memory for one of them."""
    names = ParameterNames({})
    names.models = WeakValueDictionary()
    hooks = OptimizerHooks(names, pytest.fail)
    hooks.hold_weakly()
    hooks.layers.measure_every(0)  # the newest measurement keeps its network
    left = nn.Linear(2, 2)
    kept = torch.optim.SGD(left.parameters(), lr=0.1)
    for _ in range(3):
        model = nn.Linear(2, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        names.add({"": model})
        hooks.watch(optimizer)
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
    hooks.watch(kept)
    gone = ref(model)
    del model, optimizer
    gc.collect()
    assert hooks.optimizers == (kept,)
    assert gone() is None and not names.models


def test_the_steps_of_an_untouched_program_follow_the_optimizer_that_it_uses() -> None:
    """Those of the first one, until it is gone or 100 updates are made without it."""
    hooks = OptimizerHooks(ParameterNames({}), pytest.fail)
    hooks.hold_weakly()
    first, second, third = (torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1) for _ in range(3))
    for one in (first, second, third):
        hooks.watch(one)
    main = MainOptimizer(hooks)
    main.become(first)
    assert [main.makes_step(one, is_alone=False) for one in (first, second, first, third)] == [True, False, True, False]
    assert not any(main.makes_step(second, is_alone=False) for _ in range(101))
    assert main.makes_step(second, is_alone=False) and not main.makes_step(first, is_alone=False)
    del second, one
    gc.collect()
    assert not main.makes_step(first, is_alone=False)  # of several processes one may notice it before the others
    assert main.makes_step(first, is_alone=True)


@pytest.mark.parametrize("named", [True, False])
def test_the_numbers_of_an_optimizer_that_searches_are_those_of_its_first_evaluation(runs: Path, named: bool) -> None:
    """They were added up over all evaluations, and so not those of any weights."""
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=4)
    losses, norms = [], []

    def closure(batch: Tensor, evaluated: list[tuple[float, float]]) -> Tensor:
        optimizer.zero_grad()
        loss = model(batch).square().mean()
        loss = cockpit.loss({"square": loss}) if named else loss
        loss.backward()
        evaluated.append((loss.item(), float(nn.utils.get_total_norm(p.grad for p in model.parameters()))))
        return loss

    with Cockpit(model, optimizer, run="one", runs_dir=runs) as cockpit:
        for batch in cockpit.steps(torch.randn(3, 8, 4)):
            evaluated: list[tuple[float, float]] = []
            optimizer.step(partial(closure, batch, evaluated))
            assert len(evaluated) > 2
            losses.append(evaluated[0][0])
            norms.append(evaluated[0][1])
    found = rows(runs / "one").values()
    assert [row["loss/total"] for row in found] == pytest.approx(losses, rel=1e-6)
    assert [row["grad_norm/total"] for row in found] == pytest.approx(norms, rel=1e-6)
