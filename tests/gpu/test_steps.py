"""Steps on a GPU: they never wait for it, non-finite ones change nothing, and their memory does not grow."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.tasks.person.model.network import HierarchicalUNet
from engine.tasks.person.spec import refinements_of
from engine.training.data.batch import Batch
from engine.training.gradients.step_report import StepReport
from engine.training.optimizer import moments_of
from engine.training.step import TrainStep
from engine.training.step_plan import StepPlan, plan_for
from tests.person_state import person_state
from tests.small import random_batch, small_config, train_step_of, with_tensor

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("ignore:Synchronization debug mode")]

CONFIG = small_config()
CLIPS: Sequence[dict[str, object]] = (
    {},
    {"adaptive_clip": "zclip"},
    {"adaptive_clip": "agc"},
    {"measure_shares": True},
    {"measure_shares": True, "max_grad_share": 0.1},
    {"check_state": True},
)


def _steps(device: torch.device, *, amp: torch.dtype | None = None) -> TrainStep:
    torch.manual_seed(0)
    return train_step_of(CONFIG, HierarchicalUNet(CONFIG.model).to(device), amp=amp)


def _plan(**changes: Any) -> StepPlan:
    state = person_state(run="r", refinements=refinements_of(4), loss_weights=CONFIG.loss.weights)
    return replace(plan_for(1.0, state, CONFIG), **changes)


def _batches(device: torch.device, count: int) -> list[Batch]:
    return [random_batch(CONFIG, seed=seed).to(device) for seed in range(count)]


def _everything(train_step: TrainStep) -> dict[str, Tensor]:
    """Copies of all weights and moments by name."""
    held = dict(train_step.model.state_dict())
    for name, moments in moments_of(train_step.optimizer, train_step.model).items():
        held.update({f"{name}/{key}": value for key, value in moments.items() if isinstance(value, Tensor)})
    return copy.deepcopy(held)


def _is_equal(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@contextmanager
def _without_waiting() -> Iterator[None]:
    """Make each call that waits for the device raise a RuntimeError."""
    torch.cuda.synchronize()
    try:
        torch.cuda.set_sync_debug_mode("error")
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("amp", [None, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("clip", CLIPS, ids=str)
def test_a_step_never_waits_for_the_device(cuda: torch.device, amp: torch.dtype | None, clip: dict[str, Any]) -> None:
    train_step, plan, batches = _steps(cuda, amp=amp), _plan(**clip), _batches(cuda, 2)
    for _ in range(3):
        train_step.run(batches, plan).resolve()
    with _without_waiting():
        pending = [train_step.run(batches, plan) for _ in range(5)]
    assert all(step.resolve().finite for step in pending)


def test_a_batch_goes_to_the_device_without_waiting(cuda: torch.device) -> None:
    batch = random_batch(CONFIG)
    batch.to(cuda)
    with _without_waiting():
        moved = batch.to(cuda)
    assert all(torch.equal(moved.tensors[name].cpu(), tensor) for name, tensor in batch.tensors.items())


def test_bf16_losses_are_those_of_fp32_within_its_precision(device: torch.device) -> None:
    losses = [
        [_steps(device, amp=amp).run([batch], _plan()).resolve().loss for batch in _batches(device, 3)]
        for amp in (None, torch.bfloat16)
    ]
    assert all(map(math.isfinite, losses[1]))
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


def test_an_overflow_in_fp16_halves_the_scale_and_changes_no_weight(cuda: torch.device) -> None:
    train_step, plan, (batch,) = _steps(cuda, amp=torch.float16), _plan(), _batches(cuda, 1)
    while not train_step.run([batch], plan).resolve().finite:
        pass  # the scale begins too large
    before, scale = _everything(train_step), train_step.scaler.get_scale()
    train_step.scaler.update(2.0**120)
    report = train_step.run([batch], plan).resolve()
    assert not report.finite and not report.bad_terms
    assert _is_equal(before, _everything(train_step))
    assert train_step.scaler.get_scale() == 2.0**119
    train_step.scaler.update(scale)
    assert train_step.run([batch], plan).resolve().finite


@pytest.mark.parametrize("amp", [None, torch.bfloat16], ids=["fp32", "bf16"])
def test_a_non_finite_step_changes_no_weight_and_no_moment(device: torch.device, amp: torch.dtype | None) -> None:
    train_step, plan, (batch,) = _steps(device, amp=amp), _plan(), _batches(device, 1)
    assert train_step.run([batch], plan).resolve().finite
    before = _everything(train_step)
    image = batch.tensors["image_N3HW"].clone()
    image[0, 0, 0, 0] = math.nan
    report = train_step.run([with_tensor(batch, "image_N3HW", image)], plan).resolve()
    assert not report.finite and report.bad_terms and report.bad_modules
    assert _is_equal(before, _everything(train_step))
    assert train_step.run([batch], plan).resolve().finite
    assert not _is_equal(before, _everything(train_step))


def test_reports_that_are_read_a_step_late_are_those_read_at_once(device: torch.device, deterministic: None) -> None:
    plan, batches = _plan(), _batches(device, 6)
    at_once = _steps(device)
    read = [at_once.run([batch], plan).resolve() for batch in batches]
    late, held, reports = _steps(device), None, list[StepReport]()
    for batch in batches:
        launched = late.run([batch], plan)
        if held is not None:
            reports.append(held.resolve())
        held = launched
    assert held is not None
    reports.append(held.resolve())
    assert [report.values for report in reports] == [report.values for report in read]


def test_memory_is_flat_over_four_hundred_steps(cuda: torch.device) -> None:
    train_step, plan, batches = _steps(cuda), _plan(), _batches(cuda, 2)
    used: list[int] = []
    for step in range(1, 401):
        train_step.run(batches, plan)
        if step in (100, 200, 300, 400):
            torch.cuda.synchronize()
            used.append(torch.cuda.memory_allocated(cuda))
    assert all(later <= earlier for earlier, later in pairwise(used)), used
