"""Adaptive clipping: ZClip follows the norms, AGC the weights; switched off, neither has any effect."""

from __future__ import annotations

import copy
import math
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.journal.reader import JournalReader
from engine.protocol.commands import Stop
from engine.protocol.words.script import ScriptedCommand
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.start.bootstrap import RunRequest
from engine.runtime.train import train
from engine.tasks.person.model.network import HierarchicalUNet
from engine.tasks.person.spec import refinements_of
from engine.training.gradients.grad_clip import AGC_RATIO, WeightClip, ZClip
from engine.training.step import TrainStep
from engine.training.step_plan import StepPlan, plan_for
from tests.benchmarks.zscore_rule import ZScoreRule
from tests.person_state import person_state
from tests.small import random_batch, small_config, train_step_of, with_tensor

CONFIG = small_config(model={"dropout": 0.0})
CPU, TRUE = torch.device("cpu"), torch.tensor(True)


def _plan(**changes: object) -> StepPlan:
    state = person_state(run="r", refinements=refinements_of(4), loss_weights=CONFIG.loss.weights)
    return replace(plan_for(1.0, state, CONFIG), gradient_clip=1e3, **changes)


def _stepper() -> TrainStep:
    torch.manual_seed(0)
    model = HierarchicalUNet(CONFIG.model)
    return train_step_of(CONFIG, model)


def _norms(count: int) -> list[float]:
    generator = torch.Generator().manual_seed(0)
    return (1 + 0.1 * torch.randn(count, generator=generator)).tolist()


def test_zclip_follows_the_published_rule_step_by_step() -> None:
    clip, rule = ZClip(CPU), ZScoreRule()
    for norm in [*_norms(60), 8.0, *_norms(10), 3.0]:
        bound, reading = float(clip.bound(torch.tensor(norm), TRUE)), rule.read(norm)
        if reading is None:
            assert bound == math.inf
        elif reading.score > 2.5:
            deviation = (norm - reading.centre) / reading.score
            assert bound == pytest.approx(reading.centre + 2.5**2 / reading.score * deviation, rel=1e-3)
            assert bound < norm
        else:
            assert bound >= norm * (1 - 1e-5)


def test_a_step_that_is_not_finite_leaves_zclip_as_it_was() -> None:
    clip = ZClip(CPU)
    for norm in _norms(30):
        clip.bound(torch.tensor(norm), TRUE)
    before = clip.statistics.clone()
    clip.bound(torch.tensor(math.nan), torch.tensor(False))
    assert torch.equal(clip.statistics, before)


def test_agc_holds_each_gradient_to_its_share_of_the_weights_and_leaves_small_ones() -> None:
    weights = [torch.full((4,), 1.0), torch.full((9,), 1.0), torch.zeros(4)]
    grads = [torch.full((4,), 5.0), torch.full((9,), 1e-3), torch.full((4,), 1.0)]
    norms = torch.stack([g.norm() for g in grads]), torch.stack([w.norm() for w in weights])
    left = WeightClip().clip(grads, *norms)
    assert float(grads[0].norm()) == pytest.approx(AGC_RATIO * 2)
    assert torch.equal(grads[1], torch.full((9,), 1e-3))
    assert float(grads[2].norm()) == pytest.approx(AGC_RATIO * 2e-3), "weights at zero can leave it"
    assert float(left) == pytest.approx(float(torch.cat(grads).norm()), rel=1e-5)


def _threshold(train_step: TrainStep, plan: StepPlan) -> float | None:
    report = train_step.run([random_batch(CONFIG)], plan).resolve()
    return dict(zip(report.names, report.values, strict=True)).get("clip/threshold")


def _moved(before: TrainStep, after: TrainStep) -> Tensor:
    pairs = zip(before.model.parameters(), after.model.parameters(), strict=True)
    return torch.cat([(b - a).detach().flatten() for b, a in pairs])


def test_off_there_is_no_threshold_and_an_adaptive_one_stays_under_the_ceiling() -> None:
    train_step = _stepper()
    assert _threshold(train_step, _plan()) is None
    assert _threshold(train_step, _plan(adaptive_clip="zclip")) == pytest.approx(1e3), "the ceiling, in the warm-up"
    held = _threshold(train_step, _plan(adaptive_clip="agc"))
    assert held is not None and 0 < held < 1e3
    assert _threshold(train_step, replace(_plan(adaptive_clip="agc"), gradient_clip=1e-4)) == pytest.approx(1e-4)


def test_zclip_clips_the_update_of_an_outlier_as_a_clip_at_its_threshold_does() -> None:
    adaptive = _stepper()
    for norm in _norms(30):
        adaptive.zclip.bound(torch.tensor(1e-3 * norm), TRUE)
    plain = copy.deepcopy(adaptive)
    plan = _plan(adaptive_clip="zclip", lr=1e-3)
    before = copy.deepcopy(adaptive)
    threshold = _threshold(adaptive, plan)
    assert threshold is not None and threshold < 2e-3
    plain.run([random_batch(CONFIG)], replace(plan, adaptive_clip="off", gradient_clip=threshold))
    torch.testing.assert_close(_moved(before, adaptive), _moved(before, plain))


@pytest.mark.parametrize("kind", ["zclip", "agc"])
def test_a_non_finite_step_moves_nothing_under_adaptive_clipping(kind: str) -> None:
    train_step = _stepper()
    plan = _plan(adaptive_clip=kind)
    train_step.run([random_batch(CONFIG)], plan)
    before = copy.deepcopy((train_step.model.state_dict(), train_step.zclip.statistics))
    batch = random_batch(CONFIG)
    bad = with_tensor(batch, "image_N3HW", batch.tensors["image_N3HW"] * math.nan)
    report = train_step.run([bad], plan).resolve()
    assert not report.finite
    assert all(torch.equal(value, before[0][name]) for name, value in train_step.model.state_dict().items())
    assert torch.equal(train_step.zclip.statistics, before[1])


@pytest.mark.parametrize(
    ("kind", "epochs", "stop_at"), [pytest.param("zclip", 17, 30, marks=pytest.mark.slow), ("agc", 5, 6)]
)
def test_a_run_that_was_stopped_clips_on_as_if_it_had_not_been(
    tmp_path: Path, kind: str, epochs: int, stop_at: int
) -> None:
    """ZClip has a threshold of its own only after its warm-up."""
    config = small_config(
        guard={"adaptive_clip": kind},
        training={"epochs": epochs, "learning_rate": 1e-2},
        validation={"every_epochs": 5},
        checkpoint={"every_epochs": 0},
    )
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    whole.mkdir()
    parted.mkdir()
    assert train(RunRequest(whole, config, device="cpu"), Interrupt()) == 0
    stop = (ScriptedCommand(stop_at, Stop(), 1),)
    assert train(RunRequest(parted, config, device="cpu", script=stop), Interrupt()) == 0
    assert train(RunRequest(parted, config, device="cpu", resume=True), Interrupt()) == 0
    thresholds, losses = _series(whole)
    assert len(thresholds) > stop_at + 2
    assert (thresholds, losses) == _series(parted)


def _series(directory: Path) -> tuple[list[float], list[float]]:
    with closing(JournalReader(directory)) as reader:
        series = reader.series(("clip/threshold", "loss/total"))
    return series.values["clip/threshold"].tolist(), series.values["loss/total"].tolist()
