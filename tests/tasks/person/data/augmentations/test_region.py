"""Augmented regions: what is painted and what is labelled stay the same thing."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.tasks.person.config import AugmentationsConfig
from engine.tasks.person.data.augmentations.draws import Draws, draw
from engine.tasks.person.data.augmentations.people import Person
from engine.tasks.person.data.augmentations.region import augmented_region
from engine.tasks.person.data.augmentations.turned import turn_of
from engine.tasks.person.data.crop import crop_region
from engine.tasks.person.data.labels import OTHER, TARGET, label_region
from engine.tasks.person.data.readers.scenes import Box
from engine.tasks.person.data.regions import Sides, height_width, pad_box
from tests.tasks.person.data.augmentations.pictures import BLACK, BLUE, RED, WHITE, draws, painted, target

SIZE = 32


def padded(box: Box) -> Box:
    return pad_box(box, 0.25)


def augmented(
    drawn: Draws, person: Person | None = None, other: Person | None = None, *, size: Sides = SIZE, **options: float
) -> tuple[Tensor, Tensor]:
    config = AugmentationsConfig(**options)  # type: ignore[arg-type]  # ints and floats
    return augmented_region(person or target(), padded, (size, SIZE), config, drawn, lambda _: other)


def at_image_size(label_HW: Tensor, image_3HW: Tensor) -> Tensor:
    """The nearest label of each pixel of the image."""
    rows, columns = (((torch.arange(side) + 0.5) * SIZE / side).long() for side in image_3HW.shape[1:])
    return label_HW[rows][:, columns]


def is_of(image_3HW: Tensor, colour: tuple[int, int, int]) -> Tensor:
    return (image_3HW - torch.tensor(colour)[:, None, None] / 255).abs().amax(0) < 0.02


@pytest.mark.parametrize("seed", range(3))
def test_without_options_the_region_is_cut_like_one_of_validation(seed: int) -> None:
    person = target()
    image_3HW, label_HW = augmented(draws(seed))
    region = padded(person.mask.box)
    assert torch.equal(image_3HW, crop_region(person.picture.image, region, SIZE))
    assert np.array_equal(label_HW.numpy(), label_region(person.picture, 0, region, SIZE))


def test_every_sample_takes_the_same_count_of_random_numbers() -> None:
    one, other = np.random.default_rng(1), np.random.default_rng(1)
    draw(one)
    other.random(30)
    assert one.random() == other.random()


@pytest.mark.parametrize("angle", [-40.0, -10.0, 25.0, 90.0])
@pytest.mark.parametrize("size", [SIZE, (48, 32)], ids=str)
def test_the_label_turns_with_the_image_and_the_box_stays_tight(angle: float, size: Sides) -> None:
    drawn = replace(draws(), angle=1.0 if angle > 0 else 0.0)
    image_3HW, label_HW = augmented(drawn, rotation=abs(angle), size=size)
    shown_HW = image_3HW.mean(0) > 0.5
    assert shown_HW.shape == height_width(size)
    assert (shown_HW == (at_image_size(label_HW, image_3HW) == TARGET)).float().mean() > 0.96
    rows, columns = (label_HW == TARGET).any(1).nonzero(), (label_HW == TARGET).any(0).nonzero()
    first, last = SIZE * 0.25 / 1.5, SIZE * 1.25 / 1.5
    for found in (rows, columns):
        assert abs(int(found[0]) - first) <= 1.5 and abs(int(found[-1]) + 1 - last) <= 1.5


def test_a_quarter_turn_exchanges_the_sides_of_the_box() -> None:
    left, top, right, bottom = turn_of((36.0, 24.0, 60.0, 72.0), math.pi / 2).box_of(target().mask)
    assert (right - left, bottom - top) == pytest.approx((48.0, 24.0))
    assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx((48.0, 48.0))


def test_the_box_keeps_its_margins_around_the_mask() -> None:
    mask = replace(target().mask, box=(30.0, 20.0, 64.0, 80.0))
    assert turn_of(mask.box, 0.0).box_of(mask) == pytest.approx(mask.box)


def test_scale_and_shift_move_the_region_only() -> None:
    drawn = replace(draws(), size=1.0, across=1.0, down=0.5)
    _, label_HW = augmented(drawn, scale=math.log(2), shift=0.25)
    columns, rows = (label_HW == TARGET).any(0).nonzero().squeeze(), (label_HW == TARGET).any(1).nonzero().squeeze()
    assert len(columns) == pytest.approx(SIZE / 3, abs=1) and len(rows) == pytest.approx(SIZE / 3, abs=1)
    assert float(columns.float().mean()) + 0.5 == pytest.approx(SIZE * (0.5 - 0.125), abs=1)
    assert float(rows.float().mean()) + 0.5 == pytest.approx(SIZE * 0.5, abs=1)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("front", [0.0, 0.9])
@pytest.mark.parametrize("size", [SIZE, 48, (48, 32)], ids=str)
def test_a_pasted_person_is_other_and_nothing_else_changes(seed: int, front: float, size: Sides) -> None:
    other = target(BLUE, RED)
    drawn = draws(seed)
    drawn = replace(drawn, paste=replace(drawn.paste, front=front))
    image_3HW, label_HW = augmented(drawn, other=other, size=size, copy_paste=1.0, rotation=10.0)
    plain_3HW, plain_HW = augmented(drawn, size=size, rotation=10.0)
    at_image_HW = at_image_size(label_HW, image_3HW)
    red_HW = is_of(image_3HW, RED)
    assert not is_of(image_3HW, BLUE).any(), "the other picture's background is not laid down"
    assert ((at_image_HW == OTHER) | ~red_HW).float().mean() > 0.97
    assert torch.equal(label_HW[label_HW != OTHER], plain_HW[label_HW != OTHER])
    far_HW = torch.nn.functional.max_pool2d((at_image_HW == OTHER).float()[None], 5, 1, 2)[0] == 0
    assert torch.equal(image_3HW[:, far_HW], plain_3HW[:, far_HW])
    seen, whole = int((label_HW == TARGET).sum()), int((plain_HW == TARGET).sum())
    assert seen >= 0.5 * whole if front == 0.0 else seen == whole


def test_pasted_people_are_seen_and_hide_the_target_at_times() -> None:
    results = [
        (augmented(draws(seed), other=target(BLUE, RED), copy_paste=1.0), augmented(draws(seed))) for seed in range(30)
    ]
    shown = [int((label_HW == OTHER).sum()) for (_, label_HW), _ in results]
    hidden = [int((plain_HW == TARGET).sum() - (label_HW == TARGET).sum()) for (_, label_HW), (_, plain_HW) in results]
    assert sum(count > 0 for count in shown) > 20 and sum(count > 0 for count in hidden) > 5


def test_a_person_that_would_hide_too_much_is_laid_behind() -> None:
    drawn = draws()
    drawn = replace(drawn, paste=replace(drawn.paste, front=0.0, across=0.5, down=0.5, size=1.0))
    _, label_HW = augmented(drawn, other=target(BLUE, RED), copy_paste=1.0)
    _, plain_HW = augmented(drawn)
    assert torch.equal(label_HW == TARGET, plain_HW == TARGET)
    _, covered_HW = augmented(drawn, other=target(BLUE, RED), copy_paste=1.0, copy_paste_visible=0.0)
    assert not (covered_HW == TARGET).any()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [SIZE, (SIZE, 16)], ids=str)
def test_new_surroundings_leave_the_target_and_make_their_people_others(seed: int, size: Sides) -> None:
    picture = painted(BLUE, (RED, (20, 20, 44, 70)), (RED, (60, 10, 80, 60)))
    image_3HW, label_HW = augmented(draws(seed), other=Person(picture, 0), background=1.0, size=size)
    _, plain_HW = augmented(draws(seed))
    assert torch.equal(label_HW == TARGET, plain_HW == TARGET)
    at_image_HW = at_image_size(label_HW, image_3HW)
    for colour, number in ((WHITE, TARGET), (RED, OTHER), (BLUE, 0)):
        assert (is_of(image_3HW, colour) & (at_image_HW != number)).sum() <= 8
    assert not is_of(image_3HW, BLACK).any()


def test_a_picture_that_cannot_be_read_changes_nothing() -> None:
    plain, other = augmented(draws()), augmented(draws(), copy_paste=1.0, background=1.0)
    assert all(torch.equal(*pair) for pair in zip(plain, other, strict=True))


@pytest.mark.parametrize("option", ["gray", "blur", "erasing"])
@pytest.mark.parametrize("size", [SIZE, (SIZE, 16)], ids=str)
def test_changes_of_pixels_leave_the_labels(option: str, size: Sides) -> None:
    person = Person(painted((30, 90, 200), ((220, 80, 40), (36, 24, 60, 72))), 0)
    image_3HW, label_HW = augmented(draws(), person, size=size, **{option: 1.0})  # pyright: ignore[reportArgumentType]  (options are among the keywords)
    plain_3HW, plain_HW = augmented(draws(), person, size=size)
    assert torch.equal(label_HW, plain_HW) and not torch.equal(image_3HW, plain_3HW)
    assert image_3HW.min() >= 0 and image_3HW.max() <= 1
    if option == "gray":
        assert torch.allclose(image_3HW, plain_3HW.mean(0, keepdim=True).expand(3, -1, -1))
    if option == "erasing":
        changed_HW = (image_3HW != plain_3HW).any(0)
        rows, columns = changed_HW.any(1), changed_HW.any(0)
        assert rows.sum() <= 0.36 * SIZE + 1 and columns.sum() <= 0.36 * len(columns) + 1
