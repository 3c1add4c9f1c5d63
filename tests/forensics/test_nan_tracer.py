"""The origin of a non-finite value: inherited by computed values, but not by masked ones."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from engine.forensics.nan_tracer import Origin, Tracer
from engine.forensics.operations import reaches
from engine.forensics.tensor_stats import is_finite, stats_of


class Chain(nn.Module):
    """Two layers, the second of which may do something odd."""

    def __init__(self, odd: object) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = Odd(odd)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


class Odd(nn.Module):
    def __init__(self, odd: object) -> None:
        super().__init__()
        self.odd = odd

    def forward(self, x: Tensor) -> Tensor:
        return self.odd(x)  # type: ignore[operator]


def traced(odd: object, *, backward: bool = False) -> tuple[Origin | None, Tensor]:
    """Where the output's, or the gradients', first non-finite tensor came from."""
    model, x = Chain(odd), torch.ones(4, 3)
    tracer = Tracer(model)
    with tracer.watching():
        out = model(x)
        if backward:
            out.sum().backward()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    return tracer.origin_of(grads if backward else [out]), out


def test_a_finite_pass_has_no_origin() -> None:
    assert traced(lambda x: x * 2, backward=True)[0] is None


def test_the_first_operation_is_named_not_those_that_pass_it_on() -> None:
    origin, _ = traced(lambda x: ((x * 0).log() + 1).exp().neg().log())
    assert origin is not None
    assert (origin.place.module, origin.place.operation, origin.direction) == ("second", "log", "forward")


@pytest.mark.parametrize("shape", [(4,), (4, 3), (4, 3, 2)])
def test_a_bad_input_names_its_rows_whatever_its_axes(shape: tuple[int, ...]) -> None:
    tensor = torch.ones(shape)
    tensor[1] = tensor[3] = math.nan
    tracer = Tracer(nn.Identity())
    tracer.num_samples = 4
    tracer.root(tensor, "input", "", "x")
    origin = tracer.origin_of([tensor])
    assert origin is not None and origin.rows == (1, 3)


def test_an_infinity_that_is_masked_out_is_not_blamed_for_what_comes_later() -> None:
    def masked(x: Tensor) -> Tensor:
        zero = (x * 0).detach()
        return (torch.where(zero > 0, 1 / zero, x) * 0).rsqrt()

    origin, _ = traced(masked)
    assert origin is not None and origin.place.operation == "rsqrt"


def test_an_infinity_whose_derivative_spoils_the_gradient_is() -> None:
    def masked(x: Tensor) -> Tensor:
        return torch.where(x.detach() < 1e9, x, (x * 0).log())

    origin, out = traced(masked, backward=True)
    assert is_finite(out.detach())
    assert origin is not None and origin.direction == "backward" and origin.place.operation == "log"


def test_an_operation_in_place_is_known_by_what_it_was_given() -> None:
    origin, _ = traced(lambda x: (x * 0).clone().log_())
    assert origin is not None and origin.place.operation == "log"
    assert origin.inputs[0].num_inf == 0 and origin.inputs[0].num_zero == 12


def test_memory_that_nobody_has_written_yet_is_no_origin() -> None:
    def written_later(x: Tensor) -> Tensor:
        scratch = torch.empty(4, 3)
        scratch.fill_(math.inf)
        scratch.copy_(x.detach())
        return (x + scratch) / 0

    origin, _ = traced(written_later)
    assert origin is not None and origin.place.operation == "div"


def test_a_view_of_something_bad_is_as_bad_and_its_sound_part_is_not() -> None:
    def half(x: Tensor) -> Tensor:
        bad = x / torch.tensor([1.0, 1.0, 0.0])
        return bad[:, :2] * 1

    assert traced(half)[0] is None
    origin, _ = traced(lambda x: (x / torch.tensor([1.0, 1.0, 0.0]))[:, 2:].t() * 1)
    assert origin is not None and origin.place.operation == "div"


def test_a_backward_fault_is_known_by_its_forward_operation_and_line() -> None:
    origin, out = traced(lambda x: (x * 0).sqrt(), backward=True)
    assert is_finite(out.detach())
    assert origin is not None
    assert (origin.direction, origin.place.module, origin.place.operation) == ("backward", "second", "sqrt")
    assert origin.place.source.startswith("tests/forensics/test_nan_tracer.py:")
    assert reaches(out.grad_fn, origin.sequence)
    assert not reaches((out.detach().requires_grad_() * 1).grad_fn, origin.sequence)


def test_hooks_are_gone_when_the_watch_is_over() -> None:
    model = Chain(lambda x: x)
    with Tracer(model).watching():
        assert model.first._forward_hooks
    assert not model.first._forward_hooks and not model.first._forward_pre_hooks


def test_finiteness_is_that_of_every_entry() -> None:
    for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.float64):
        for bad in (math.nan, math.inf, -math.inf):
            assert not is_finite(torch.tensor([1.0, bad, 2.0], dtype=dtype))
        assert is_finite(torch.tensor([1.0, 2.0], dtype=dtype))
    assert is_finite(torch.tensor([1, 2])) and is_finite(torch.empty(0))


def test_statistics_are_over_finite_entries_and_count_the_others() -> None:
    stats = stats_of("x", torch.tensor([[1.0, math.nan, 0.0], [-3.0, math.inf, -math.inf]]))
    assert (stats.low, stats.high, stats.num_zero, stats.num_nan, stats.num_inf) == (-3.0, 1.0, 1, 1, 2)
    assert abs(stats.mean + 2 / 3) < 1e-6 and stats.shape == (2, 3)
    assert math.isnan(stats_of("x", torch.full((2,), math.nan)).mean)
    assert stats_of("n", torch.tensor([1, 2])).dtype == "int64"
