"""Running statistics of batch norms: a step that updates nothing leaves them, and so do replays and rollbacks."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from engine.forensics.capture import evidence_of
from engine.forensics.replay import replay
from engine.tasks.person.model.network import HierarchicalUNet
from engine.training.gradients.batch_statistics import BatchStatistics, kept_statistics
from engine.training.step import TrainStep
from engine.training.step_plan import StepPlan, plan_for
from tests.person_state import person_state
from tests.small import random_batch, small_config, train_step_of, with_tensor

CONFIG = small_config(model={"norm": "batch"})


def trained() -> tuple[TrainStep, StepPlan]:
    """Return a network with batch norms after one step."""
    torch.manual_seed(0)
    train_step = train_step_of(CONFIG, HierarchicalUNet(CONFIG.model))
    state = person_state(refinements=frozenset(), loss_weights=dict(CONFIG.loss.weights))
    plan = plan_for(1.0, state, CONFIG)
    train_step.run([random_batch(CONFIG)], plan).resolve()
    return train_step, replace(plan, step=1)


def whole(train_step: TrainStep) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in train_step.model.state_dict().items()}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_step_changes_them_and_a_non_finite_step_changes_nothing() -> None:
    train_step, plan = trained()
    before, batch = whole(train_step), random_batch(CONFIG, seed=1)
    image = batch.tensors["image_N3HW"].clone()
    image[0, 0, 3, 3] = math.nan
    report = train_step.run([batch, with_tensor(batch, "image_N3HW", image)], plan).resolve()
    assert not report.finite and equal(whole(train_step), before)
    assert train_step.run([batch, batch], plan).resolve().finite
    now = whole(train_step)
    moved = [name for name in now if name.endswith(("running_mean", "running_var"))]
    assert moved and not any(torch.equal(now[name], before[name]) for name in moved if name.startswith("extractor"))
    assert int(now["extractor.layers.0.1.num_batches_tracked"]) == 3, "one batch, then two"


def test_the_copies_of_a_step_that_never_began_are_not_those_of_the_next() -> None:
    train_step, plan = trained()
    train_step.footing()  # no batch came, and a rollback restored other statistics
    for buffer in train_step.model.buffers():
        buffer.fill_(3)
    before = whole(train_step)
    train_step.footing()
    batch = random_batch(CONFIG)
    bad = with_tensor(batch, "image_N3HW", batch.tensors["image_N3HW"] * math.nan)
    train_step.run([bad], plan).resolve()
    assert equal(whole(train_step), before)


def test_a_single_statistic_that_is_not_finite_is_not_taken() -> None:
    norm = nn.BatchNorm1d(2)
    held = BatchStatistics(norm)
    held.begin()
    mean = norm.state_dict()["running_mean"]
    mean.copy_(torch.tensor([5.0, math.inf]))
    held.settle(torch.tensor(True))
    assert mean.tolist() == [5.0, 0.0]


def test_a_replay_and_an_evaluation_leave_them() -> None:
    train_step, plan = trained()
    before = whole(train_step)
    evidence = evidence_of(train_step, [random_batch(CONFIG)], plan)
    replayed = replay(train_step.objective, train_step.model, evidence, amp=None)
    assert replayed.finite and equal(whole(train_step), before)
    with pytest.raises(ValueError, match="ends"), kept_statistics(train_step.model):
        train_step.model(random_batch(CONFIG).tensors["image_N3HW"], frozenset())
        raise ValueError("the block ends")
    assert equal(whole(train_step), before)


def test_instance_norms_with_statistics_are_kept_and_a_network_without_any_costs_nothing() -> None:
    model = nn.Sequential(nn.InstanceNorm1d(2, track_running_stats=True), nn.BatchNorm1d(2, track_running_stats=False))
    held = BatchStatistics(model)
    held.begin()
    model(torch.full((3, 2, 4), math.nan))
    held.settle(torch.tensor(False))
    assert torch.equal(model.state_dict()["0.running_mean"], torch.zeros(2))
    bare = BatchStatistics(nn.Linear(2, 2))
    bare.begin()
    bare.settle(torch.tensor(False))
    assert bare.versions() == ()
