"""Gradients of any kind are read: their norms by part, and the names of those that are not finite."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from engine.adapters.hooks.gradients.gradient_reader import GradientReader
from engine.adapters.hooks.gradients.parameter_names import ParameterNames
from engine.adapters.hooks.optimizer_hooks import OptimizerHooks
from tests.adapters.small_network import hooks_on

SHAPES = ((3, 5), (7,), (), (128, 65), (300, 300))
"""Small, single, and read by torch's threads."""


class Kinds(nn.Module):
    """Two parts with parameters of all `SHAPES`, in one type."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.first, self.second = nn.ParameterList(), nn.ParameterList()
        for part in (self.first, self.second):
            part.extend(nn.Parameter(torch.randn(shape).to(dtype)) for shape in SHAPES)


def reader_of(model: nn.Module) -> GradientReader:
    """A reader of all parameters."""
    reader = GradientReader(torch.optim.SGD(model.parameters(), 0.1), ParameterNames({"": model}))
    reader.refresh()
    return reader


def norm_of(module: nn.Module) -> float:
    """The norm of the gradients that are there, in double precision."""
    grads = [p.grad.detach().to_dense().to(torch.complex128) for p in module.parameters() if p.grad is not None]
    return math.sqrt(sum(float(grad.abs().square().sum()) for grad in grads))


def transposed(grad: Tensor) -> Tensor:
    return grad.t().contiguous().t() if grad.ndim == 2 else grad


def sparse(grad: Tensor) -> Tensor:
    return grad.to_sparse()


def with_graph(grad: Tensor) -> Tensor:
    return grad.requires_grad_() * 1


@pytest.mark.parametrize(
    "change", [None, transposed, sparse, with_graph], ids=lambda change: getattr(change, "__name__", "plain")
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.complex64])
def test_norms_by_part_are_those_of_the_gradients(
    dtype: torch.dtype, change: Callable[[Tensor], Tensor] | None
) -> None:
    model = Kinds(dtype)
    reader = reader_of(model)
    for parameter in model.parameters():
        grad = torch.randn(parameter.shape).to(dtype) / 8
        parameter.grad = grad if change is None else change(grad)
    for _ in range(2):
        norms = reader.read()
        assert norms.bad == ()
        assert norms.by_part() == pytest.approx(
            {"first": norm_of(model.first), "second": norm_of(model.second)}, rel=0.01
        )
        assert norms.total == pytest.approx(norm_of(model), rel=0.01)


def test_a_norm_that_overflows_in_single_precision_is_computed_in_double() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        model = Kinds(dtype)
        for parameter in model.parameters():
            parameter.grad = torch.full(parameter.shape, 2.0**100, dtype=dtype)
        norms = reader_of(model).read()
        assert norms.bad == () and norms.total == pytest.approx(norm_of(model), rel=1e-6)


def test_types_of_different_lengths_are_read_together() -> None:
    model = Kinds(torch.float32)
    model.second = Kinds(torch.float16).second
    reader = reader_of(model)
    for parameter in model.parameters():
        parameter.grad = torch.full(parameter.shape, 2.0**13, dtype=parameter.dtype)
    assert reader.read().by_part() == pytest.approx(
        {"first": norm_of(model.first), "second": norm_of(model.second)}, rel=1e-6
    )


def test_parameters_with_a_gradient_may_differ_from_step_to_step() -> None:
    model = Kinds(torch.float32)
    reader = reader_of(model)
    torch.manual_seed(0)
    for step in range(60):
        for parameter in model.parameters():
            is_there = step % 20 == 0 or torch.rand(()) < 0.7
            parameter.grad = torch.randn(parameter.shape) if is_there else None
        assert reader.read().total == pytest.approx(norm_of(model), rel=1e-4)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", range(2 * len(SHAPES)))
def test_one_value_that_is_not_finite_is_found_anywhere(place: int, value: float) -> None:
    for dtype in (torch.float32, torch.bfloat16, torch.complex64):
        model = Kinds(dtype)
        for parameter in model.parameters():
            parameter.grad = torch.zeros(parameter.shape, dtype=dtype)
        name, held = list(model.named_parameters())[place]
        assert held.grad is not None
        last = torch.view_as_real(held.grad) if dtype.is_complex else held.grad
        last.view(-1)[-1] = value
        assert reader_of(model).read().bad == (name,)


def test_reading_leaves_gradients_and_the_grad_mode_alone() -> None:
    model = Kinds(torch.float32)
    reader = reader_of(model)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape)
    before = [(p.grad, p.grad.clone(), p.grad._version) for p in model.parameters() if p.grad is not None]
    for mode in (True, False):
        with torch.set_grad_enabled(mode):
            reader.read()
            assert torch.is_grad_enabled() is mode
    now = [p.grad for p in model.parameters()]
    assert all(one is grad and grad._version == version for one, (grad, _, version) in zip(now, before, strict=True))
    assert all(torch.equal(grad, copy) for grad, copy, _ in before)


def test_a_step_with_a_gradient_that_is_new_and_not_finite_changes_nothing() -> None:
    """A parameter without a gradient in all steps before is checked from its first one on."""
    model = Kinds(torch.float32)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    hooks: OptimizerHooks = hooks_on(model, optimizer)
    late = model.second[1]
    for step in range(3):
        for parameter in model.parameters():
            parameter.grad = None if parameter is late and step < 2 else torch.ones(parameter.shape)
        if step == 2:
            late.grad = torch.full(late.shape, math.nan)
        before = [p.detach().clone() for p in model.parameters()]
        optimizer.step()
        is_same = all(torch.equal(p, former) for p, former in zip(model.parameters(), before, strict=True))
        assert hooks.take().is_skipped is is_same is (step == 2)
    hooks.remove()
