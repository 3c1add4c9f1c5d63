"""A replay equals the step bit for bit, and restores all state."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from engine.forensics.replay import replay
from tests.forensics.scene import Scene, build_scene, same
from tests.small import random_batch, with_tensor


def values_of(scene: Scene, *names: str) -> tuple[float, ...]:
    report = scene.take(scene.evidence())
    values = dict(zip(report.names, report.values, strict=True))
    return tuple(values[name] for name in names)


@pytest.mark.parametrize("amp", [None, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("governed", [0.0, 0.2])
def test_a_replay_has_the_numbers_of_the_step(amp: torch.dtype | None, governed: float) -> None:
    scene = build_scene(amp=amp)
    scene = replace(scene, plan=replace(scene.plan, max_grad_share=governed, clamp_max=0.5))
    again = replay(scene.objective, scene.model, scene.evidence(), amp=amp)
    raw = tuple(f"loss_raw/{term}" for term in scene.plan.terms)
    parts = tuple(f"grad_norm/{part}" for part in again.norms)
    taken = values_of(scene, "loss/total", "grad_norm/total", *raw, *parts)
    assert again.finite and again.origin is None
    assert again.numbers() == pytest.approx(taken, rel=2e-6)
    assert again.loss == taken[0]


def test_with_accumulation_too() -> None:
    scene = build_scene()
    evidence = replace(scene.evidence(), batches=(scene.batch, random_batch(scene.config, num_rois=1, seed=9)))
    again = replay(scene.objective, scene.model, evidence, amp=None)
    report = scene.take(evidence)
    assert (again.loss, again.grad_norm) == pytest.approx((report.loss, report.grad_norm), rel=2e-6)


def test_replays_of_one_step_agree_to_the_last_bit_whatever_was_drawn_between() -> None:
    scene = build_scene()
    evidence = scene.evidence()
    first = replay(scene.objective, scene.model, evidence, amp=None)
    torch.rand(7)
    assert replay(scene.objective, scene.model, evidence, amp=None).numbers() == first.numbers()
    assert replay(scene.objective, scene.model, scene.evidence(), amp=None).numbers() != first.numbers(), (
        "dropout draws differ"
    )


def test_a_replay_leaves_weights_gradients_generators_and_hooks_alone() -> None:
    scene = build_scene()
    kept = next(scene.model.parameters())
    kept.grad = torch.ones_like(kept)
    before = scene.whole()
    replay(scene.objective, scene.model, scene.evidence(), amp=None)
    assert same(scene.whole(), before) and kept.grad is before["grads"][0]


def test_a_replay_that_raises_leaves_them_alone_too() -> None:
    scene = build_scene()
    before = scene.whole()
    label = scene.batch.tensors["label_NHW"].clone()
    label[0, 0, 0] = 7
    with pytest.raises((RuntimeError, IndexError)):
        replay(
            scene.objective,
            scene.model,
            scene.evidence(with_tensor(scene.batch, "label_NHW", label)),
            amp=None,
        )
    assert same(scene.whole(), before)


def test_a_gradient_nobody_has_is_no_norm() -> None:
    scene = build_scene()
    image = scene.batch.tensors["image_N3HW"] * math.nan
    again = replay(
        scene.objective,
        scene.model,
        scene.evidence(with_tensor(scene.batch, "image_N3HW", image)),
        amp=None,
    )
    assert not again.finite and math.isnan(again.loss) and again.norms == {}
