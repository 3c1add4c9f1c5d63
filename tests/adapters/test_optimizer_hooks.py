"""Hooks on foreign optimizers: nothing changes in a non-finite step, and the learning rate is exactly the one asked."""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler as schedules

from engine.adapters.hooks.gradients.gradient_reader import GradientReader
from engine.adapters.hooks.gradients.parameter_names import ParameterNames
from engine.adapters.hooks.optimizer_hooks import OptimizerHooks
from tests.adapters.own_loop import assert_equal
from tests.adapters.small_network import all_state, backward, hooks_on, network

Build = Callable[[Any], torch.optim.Optimizer]


def eight_bit(parameters: Any) -> torch.optim.Optimizer:
    """Return an optimizer with 8-bit moments; skip where its package is not installed."""
    bitsandbytes = pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    return bitsandbytes.optim.AdamW8bit(parameters, lr=0.01, min_8bit_size=1)


OPTIMIZERS: dict[str, Build] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "sgd momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, amsgrad=True),
    "adamw foreach": lambda p: torch.optim.AdamW(p, lr=0.01, foreach=True),
    "adamw fused": lambda p: torch.optim.AdamW(p, lr=0.01, fused=True),
    "sgd fused": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, fused=True),
    "radam": lambda p: torch.optim.RAdam(p, lr=0.01),
    "nadam": lambda p: torch.optim.NAdam(p, lr=0.01),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
    "adafactor": lambda p: torch.optim.Adafactor(p, lr=0.01),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.01),
    "adamax": lambda p: torch.optim.Adamax(p, lr=0.01),
    "adadelta": lambda p: torch.optim.Adadelta(p, lr=0.1),
    "rprop": lambda p: torch.optim.Rprop(p, lr=0.01),
    "asgd": lambda p: torch.optim.ASGD(p, lr=0.01),
    "adamw 8 bit": eight_bit,
}

SCHEDULES: dict[str, Callable[[torch.optim.Optimizer], Any]] = {
    "lambda": lambda o: schedules.LambdaLR(o, lambda step: 1 / (1 + step)),
    "cosine": lambda o: schedules.CosineAnnealingLR(o, T_max=12),
    "one cycle": lambda o: schedules.OneCycleLR(o, max_lr=0.2, total_steps=30),
    "exponential": lambda o: schedules.ExponentialLR(o, 0.9),
    "sequential": lambda o: schedules.SequentialLR(
        o, [schedules.ConstantLR(o, factor=0.5, total_iters=4), schedules.CosineAnnealingLR(o, T_max=20)], [5]
    ),
    "plateau": lambda o: schedules.ReduceLROnPlateau(o, patience=1),
}


@pytest.mark.parametrize("on_device", [False, True], ids=["read on the host", "decided on the device"])
@pytest.mark.parametrize("first", [0, 4], ids=["in the first step", "in a later step"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_non_finite_step_changes_no_weight_moment_or_counter(
    name: str, first: int, on_device: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All later steps are those of a training that never saw the batch."""
    if on_device:
        monkeypatch.setattr(GradientReader, "is_read_now", property(lambda self: False))
    model = network()
    optimizer = OPTIMIZERS[name](model.parameters())
    hooks = hooks_on(model, optimizer)
    twin = network()
    untouched = OPTIMIZERS[name](twin.parameters())
    for step in range(8):
        backward(model, step, poisoned=step == first)
        optimizer.step()
        optimizer.zero_grad()
        seen = hooks.take()
        if step == first:
            assert on_device or seen.bad == ("2.bias",)
            assert seen.finite is None or not bool(seen.finite)
            continue
        backward(twin, step)
        untouched.step()
        untouched.zero_grad()
    assert_equal(all_state(model, optimizer), all_state(twin, untouched))


@pytest.mark.parametrize("on_device", [False, True], ids=["read on the host", "decided on the device"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_state_that_is_read_or_replaced_after_a_non_finite_step_is_not_mixed_with_it(
    name: str, on_device: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint holds the counters before that step, and a rollback from it is not changed by a late verdict."""
    if on_device:
        monkeypatch.setattr(GradientReader, "is_read_now", property(lambda self: False))
    model = network()
    optimizer = OPTIMIZERS[name](model.parameters())
    hooks_on(model, optimizer)

    def update(step: int, *, poisoned: bool = False) -> None:
        backward(model, step, poisoned=poisoned)
        optimizer.step()
        optimizer.zero_grad()

    began = all_state(model, optimizer)
    update(0, poisoned=True)
    assert_equal(all_state(model, optimizer), began)
    for step in range(1, 4):
        update(step)
    saved = all_state(model, optimizer)
    update(4, poisoned=True)
    assert_equal(all_state(model, optimizer), saved)
    update(5)
    update(6, poisoned=True)
    model.load_state_dict(saved[0])
    optimizer.load_state_dict(copy.deepcopy(saved[1]))
    once = all_state(model, optimizer)
    assert_equal(once, saved)
    update(7)
    went_on = all_state(model, optimizer)
    model.load_state_dict(saved[0])
    optimizer.load_state_dict(copy.deepcopy(saved[1]))
    update(7)
    assert_equal(all_state(model, optimizer), went_on)


@pytest.mark.parametrize("on_device", [False, True], ids=["read on the host", "decided on the device"])
def test_running_statistics_stay_those_before_a_non_finite_step(
    on_device: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One batch with a NaN would make the network useless in evaluation for ever."""
    if on_device:
        monkeypatch.setattr(GradientReader, "is_read_now", property(lambda self: False))
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    hooks = hooks_on(model, optimizer)
    for step, poison in enumerate((0.0, math.nan, 0.0)):
        before = copy.deepcopy(model.state_dict())
        torch.manual_seed(step)
        model(torch.randn(5, 4) + poison).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        hooks.take()
        if poison:
            assert_equal(dict(model.state_dict()), dict(before))
        else:
            assert not torch.equal(model.state_dict()["1.running_mean"], before["1.running_mean"])
    assert all(bool(torch.isfinite(value).all()) for value in model.state_dict().values())


def test_a_hidden_gradient_is_back_after_the_step() -> None:
    """A program may look at its gradients after the update."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    hooks_on(model, optimizer)
    backward(model, 0, poisoned=True)
    optimizer.step()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("pinned", [False, True], ids=["factor", "rate set by hand"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_the_rate_in_force_is_exactly_the_one_asked(name: str, pinned: bool) -> None:
    """The schedule itself never sees the factor: its rates are those of a training without it."""
    model, twin = network(), network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    untouched = torch.optim.SGD(twin.parameters(), lr=0.1)
    schedule, own = SCHEDULES[name](optimizer), SCHEDULES[name](untouched)
    hooks = hooks_on(model, optimizer)
    applied: list[float] = []
    optimizer.register_step_pre_hook(lambda o, a, k: applied.append(o.param_groups[0]["lr"]))
    for step in range(15):
        scheduled = untouched.param_groups[0]["lr"]
        if step == 6:
            rate = hooks.learning_rate
            rate.scale, rate.pin, rate.reference = (1.0, 3e-4, scheduled) if pinned else (0.5, None, 0.0)
            first = scheduled
        expected = scheduled if step < 6 else 3e-4 * (scheduled / first) if pinned else scheduled * 0.5
        for net, opt, plan in ((model, optimizer, schedule), (twin, untouched, own)):
            backward(net, step)
            opt.step()
            opt.zero_grad()
            plan.step(1.0) if name == "plateau" else plan.step()
        assert applied[-1] == expected
        assert hooks.take().lr == expected
        assert optimizer.param_groups[0]["lr"] == untouched.param_groups[0]["lr"]


def test_a_rate_set_by_hand_is_exact_at_once() -> None:
    """Set to 3e-4, the next step uses 3e-4 and no neighbouring number, in groups with several rates in proportion."""
    model = network()
    groups = [{"params": model[0].parameters(), "lr": 0.1}, {"params": model[2].parameters(), "lr": 0.02}]
    optimizer = torch.optim.SGD(groups)
    hooks = hooks_on(model, optimizer)
    hooks.learning_rate.pin, hooks.learning_rate.reference = 3e-4, hooks.scheduled_lr()
    seen: list[list[float]] = []
    optimizer.register_step_pre_hook(lambda o, a, k: seen.append([g["lr"] for g in o.param_groups]))
    backward(model, 0)
    optimizer.step()
    assert seen[0][0] == 3e-4
    assert seen[0][1] == pytest.approx(6e-5, rel=1e-12)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.02]


def test_a_tensor_rate_is_scaled_and_restored() -> None:
    """Capturable and compiled optimizers hold the rate in a tensor, whose identity must stay."""
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=torch.tensor(0.01), foreach=False, capturable=False)
    held = optimizer.param_groups[0]["lr"]
    hooks = hooks_on(model, optimizer)
    hooks.learning_rate.scale = 0.5
    seen: list[float] = []
    optimizer.register_step_pre_hook(lambda o, a, k: seen.append(float(o.param_groups[0]["lr"])))
    backward(model, 0)
    optimizer.step()
    assert seen == [pytest.approx(0.005)]
    assert optimizer.param_groups[0]["lr"] is held


def test_non_finite_in_one_group_of_two_suppresses_both() -> None:
    """An update is one thing: half of it would be another training."""
    model = network()
    optimizer = torch.optim.Adam([{"params": model[0].parameters()}, {"params": model[2].parameters()}], lr=0.1)
    hooks = hooks_on(model, optimizer)
    before = all_state(model, optimizer)
    backward(model, 0, poisoned=True)
    optimizer.step()
    assert_equal(all_state(model, optimizer), before)
    assert hooks.take().bad == ("2.bias",)


def test_each_of_two_optimizers_is_judged_by_its_own_gradients() -> None:
    """A discriminator goes on if the generator's gradient is not finite."""
    model = network()
    first = torch.optim.SGD(model[0].parameters(), lr=0.1)
    second = torch.optim.SGD(model[2].parameters(), lr=0.1)
    hooks = hooks_on(model, first, second)
    before = copy.deepcopy(model.state_dict())
    backward(model, 0, poisoned=True)
    first.step()
    second.step()
    assert not torch.equal(model.state_dict()["0.weight"], before["0.weight"])
    assert torch.equal(model.state_dict()["2.weight"], before["2.weight"])
    assert hooks.take().count == 2


def test_a_clip_from_the_screen_bounds_the_update() -> None:
    """With plain SGD the change of the weights is the rate times the clipped gradient."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    hooks = hooks_on(model, optimizer)
    hooks.clip = 1e-3
    before = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    backward(model, 0)
    optimizer.step()
    moved = nn.utils.parameters_to_vector(model.parameters()).detach() - before
    assert float(moved.norm()) == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
@pytest.mark.parametrize("bad_call", [1, 3])
def test_lbfgs_is_undone_wherever_in_its_search_the_value_is_not_finite(search: str | None, bad_call: int) -> None:
    """Its closure is evaluated several times, after weights have moved."""
    model = network()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=5, line_search_fn=search)
    hooks = hooks_on(model, optimizer)
    calls = 0

    def closure(poison_at: int = 0) -> Tensor:
        nonlocal calls
        calls += 1
        optimizer.zero_grad()
        torch.manual_seed(1)
        loss = model(torch.randn(5, 4)).square().mean()
        loss.backward()
        if calls == poison_at:
            model[2].bias.grad.fill_(math.nan)
        return loss

    optimizer.step(closure)
    assert not hooks.take().is_skipped
    before = all_state(model, optimizer)
    calls = 0
    optimizer.step(lambda: closure(bad_call))
    assert hooks.take().is_skipped
    assert_equal(all_state(model, optimizer), before)


def test_adam_with_a_closure_is_judged_after_it() -> None:
    """The gradients do not exist before."""
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    hooks = hooks_on(model, optimizer)
    before = all_state(model, optimizer)

    def closure() -> None:
        optimizer.zero_grad()
        backward(model, 0, poisoned=True)

    optimizer.step(closure)
    assert hooks.take().bad == ("2.bias",)
    assert_equal(all_state(model, optimizer), before)


def test_a_compiled_networks_parameters_keep_their_names() -> None:
    """`torch.compile` puts the network into another module."""
    model = network()
    compiled = torch.compile(model, backend="eager")
    optimizer = torch.optim.SGD(compiled.parameters(), lr=0.1)
    hooks = hooks_on(compiled, optimizer)
    compiled(torch.randn(5, 4)).square().mean().backward()
    model[2].bias.grad.fill_(math.nan)
    optimizer.step()
    assert hooks.take().bad == ("2.bias",)


def test_rates_are_restored_after_an_exception_in_the_step() -> None:
    """A program that survives the exception must not go on with a halved rate for ever."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    hooks = hooks_on(model, optimizer)
    hooks.learning_rate.scale = 0.5

    def closure() -> float:
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="disk is gone"):
        optimizer.step(closure)
    backward(model, 0)
    optimizer.step()
    assert optimizer.param_groups[0]["lr"] == 0.1
    assert hooks.take().lr == 0.05


def test_a_fault_of_the_hooks_removes_them_and_reaches_nobody() -> None:
    """The training goes on as without them."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    faults: list[Exception] = []
    hooks = OptimizerHooks(ParameterNames({"": model}), faults.append)
    hooks.watch(optimizer)
    hooks.learning_rate.scale = "half"  # pyright: ignore[reportAttributeAccessIssue]
    before = copy.deepcopy(model.state_dict())
    for step in range(2):
        backward(model, step)
        optimizer.step()
    assert len(faults) == 1 and isinstance(faults[0], TypeError)
    assert not torch.equal(model.state_dict()["0.weight"], before["0.weight"])
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_gradients_whose_squares_overflow_are_finite() -> None:
    """A norm beyond float32 is large, not infinite."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-30)
    hooks = hooks_on(model, optimizer)
    backward(model, 0)
    model[2].bias.grad.fill_(1e30)
    optimizer.step()
    seen = hooks.take()
    assert not seen.is_skipped
    assert seen.grad_norm == pytest.approx(1e30 * 3**0.5, rel=1e-3)


def test_parts_divide_the_largest_module_first() -> None:
    """All parameters are in a part, and there are not too many."""
    layers = nn.ModuleList([nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)) for _ in range(12)])
    model = nn.ModuleDict({"embed": nn.Embedding(10, 4), "layers": layers, "head": nn.Linear(4, 2)})
    names = ParameterNames({"": model})
    parts = {names.part_of(parameter) for parameter in model.parameters()}
    assert {"embed", "head", "layers.0", "layers.11"} <= parts
    assert len(parts) <= 16


@pytest.mark.parametrize("method", ["_judge", "_finish"])
def test_a_fault_inside_a_hook_leaves_those_of_the_program_alone(method: str) -> None:
    """Torch runs over all hooks of an optimizer, and fails if one disappears meanwhile."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    faults: list[Exception] = []
    hooks = OptimizerHooks(ParameterNames({"": model}), faults.append)
    hooks.watch(optimizer)
    called: list[str] = []
    optimizer.register_step_pre_hook(lambda *_: called.append("before"))
    optimizer.register_step_post_hook(lambda *_: called.append("after"))
    setattr(hooks, method, lambda *_, **__: 1 / 0)
    for step in range(2):
        backward(model, step)
        optimizer.step()
    assert called == ["before", "after"] * 2 and len(faults) == 1
    hooks.remove()
    assert len(optimizer._optimizer_step_pre_hooks) == len(optimizer._optimizer_step_post_hooks) == 1


def test_two_trainings_in_threads_of_one_process_do_not_disturb_each_other() -> None:
    """Both read gradients at the same time."""
    made = [network() for _ in range(4)]
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.1) for model in made]
    together = threading.Barrier(4)

    def train(model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
        hooks = hooks_on(model, optimizer)
        reader = hooks.readers[0]
        usual = reader.read
        reader.read = lambda: (together.wait(10), usual())[1]  # type: ignore[method-assign]
        for step in range(5):
            backward(model, step)
            optimizer.step()
        return hooks.num_calls

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(train, made, optimizers)) == [5] * 4
