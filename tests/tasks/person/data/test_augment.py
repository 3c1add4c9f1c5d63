"""Augmentation mirrors and relights, from its own random numbers only."""

from __future__ import annotations

import numpy as np
import torch

from engine.tasks.person.data.augment import augment

IMAGE = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
LABEL = torch.arange(256).reshape(16, 16) % 3


def draws(probability: float, count: int = 200) -> list[tuple[torch.Tensor, torch.Tensor]]:
    rng = np.random.default_rng(0)
    return [augment(IMAGE, LABEL, probability=probability, rng=rng) for _ in range(count)]


def test_probability_zero_changes_nothing() -> None:
    for image, label in draws(0.0, 20):
        assert torch.equal(image, IMAGE) and torch.equal(label, LABEL)


def test_half_are_mirrored_and_the_label_goes_with_the_image() -> None:
    mirrored = [torch.equal(label, LABEL.flip(-1)) for _, label in draws(1.0)]
    assert 0.35 < sum(mirrored) / len(mirrored) < 0.65
    pure = [(image, label) for image, label in draws(0.3) if torch.equal(image, IMAGE.flip(-1))]
    assert pure and all(torch.equal(label, LABEL.flip(-1)) for _, label in pure)


def test_light_and_colour_change_within_range() -> None:
    images = [image for image, _ in draws(1.0, 50)]
    assert all(image.min() >= 0 and image.max() <= 1 and image.shape == IMAGE.shape for image in images)
    assert np.std([float(image.mean()) for image in images]) > 0.03
    casts = [float((image[0] - image[2]).mean()) for image in images]
    assert np.std(casts) > 0.01


def test_equal_generators_give_equal_bits_and_torchs_own_is_left_alone() -> None:
    before = torch.random.get_rng_state()
    first, second = draws(0.5, 20), draws(0.5, 20)
    assert all(
        torch.equal(a, b) for one, other in zip(first, second, strict=True) for a, b in zip(one, other, strict=True)
    )
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_number_of_draws_does_not_depend_on_what_is_applied() -> None:
    rest = []
    for probability in (0.0, 0.5, 1.0):
        rng = np.random.default_rng(3)
        augment(IMAGE, LABEL, probability=probability, rng=rng)
        rest.append(rng.random())
    assert len(set(rest)) == 1
