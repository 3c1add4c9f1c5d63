"""The synthetic people: deterministic, exact, overlapping, and not recognisable by colour alone."""

from __future__ import annotations

import numpy as np
import pytest

from engine.tasks.person.config import SyntheticConfig
from engine.tasks.person.data.labels import label_region
from engine.tasks.person.data.readers.scenes import Picture, check_target
from engine.tasks.person.data.synthetic.scenes import SyntheticScene, draw_index

CONFIG = SyntheticConfig(num_train_scenes=30, num_val_scenes=6, image_size=128, max_people=5)


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    return [scene.read() for scene in draw_index(CONFIG).train.scenes]


def people_of(picture: Picture) -> np.ndarray:
    """How many people claim each pixel."""
    width, height = picture.image.size
    claims = np.zeros((height, width), dtype=int)
    for person in picture.people:
        rows, columns = person.mask_HW.shape
        claims[person.row : person.row + rows, person.column : person.column + columns] += person.mask_HW
    return claims


def test_a_scene_is_the_same_however_often_it_is_drawn() -> None:
    for one, other in zip(draw_index(CONFIG).val.scenes, draw_index(CONFIG).val.scenes, strict=True):
        first, second = one.read(), other.read()
        assert np.array_equal(np.asarray(first.image), np.asarray(second.image))
        assert all(np.array_equal(a.mask_HW, b.mask_HW) for a, b in zip(first.people, second.people, strict=True))


def test_scenes_and_splits_and_seeds_differ(pictures: list[Picture]) -> None:
    val = draw_index(CONFIG).val.scenes[0].read()
    other = draw_index(CONFIG, seed=1).train.scenes[0].read()
    images = [np.asarray(picture.image) for picture in (*pictures[:5], val, other)]
    assert len({image.tobytes() for image in images}) == len(images)


def test_more_scenes_do_not_change_the_first_ones() -> None:
    more = draw_index(CONFIG.model_copy(update={"num_train_scenes": 40}))
    assert more.train.scenes[:30] == draw_index(CONFIG).train.scenes


def test_every_planned_person_can_be_seen_in_its_planned_box(pictures: list[Picture]) -> None:
    for scene, picture in zip(draw_index(CONFIG).train.scenes, pictures, strict=True):
        assert len(scene.boxes) == len(picture.people)
        for box, person in zip(scene.boxes, picture.people, strict=True):
            check_target(person)
            assert box is not None
            assert person.box[0] >= box[0] - 1 and person.box[1] >= box[1] - 1
            assert person.box[2] <= box[2] + 1 and person.box[3] <= box[3] + 1


def test_no_pixel_belongs_to_two_people(pictures: list[Picture]) -> None:
    assert max(people_of(picture).max() for picture in pictures) == 1


def test_a_mask_follows_the_outline_that_can_be_seen() -> None:
    """Across the edge of a mask the colour changes more than next to it, on average over many people."""
    across, within = [], []
    for scene in draw_index(CONFIG).train.scenes[:10]:
        picture = scene.read()
        pixels = np.asarray(picture.image).astype(float)
        step = np.abs(np.diff(pixels, axis=1)).sum(axis=2)
        is_edge = np.diff(people_of(picture), axis=1) != 0
        across.append(step[is_edge].mean())
        within.append(step[~is_edge].mean())
    assert np.mean(across) > 1.5 * np.mean(within)


def test_people_overlap_and_share_regions(pictures: list[Picture]) -> None:
    shares = np.zeros(3)
    num_shared = num_regions = 0
    for picture in pictures:
        for number, person in enumerate(picture.people):
            counts = np.bincount(label_region(picture, number, person.box, 32).reshape(-1), minlength=3)
            shares += counts
            num_regions += 1
            num_shared += counts[2] > 0
    shares /= shares.sum()
    assert num_shared / num_regions > 0.4
    assert 0.3 < shares[0] < 0.7 and 0.25 < shares[1] < 0.6 and shares[2] > 0.03


def test_colour_alone_does_not_tell_people_from_what_surrounds_them(pictures: list[Picture]) -> None:
    """The best guess from a pixel's colour, learnt on half of the scenes, is little better than a constant."""
    halves = [pictures[::2], pictures[1::2]]
    bins, classes = zip(*[_colours_and_classes(half) for half in halves], strict=True)
    totals = np.bincount(bins[0], minlength=512)
    people = np.bincount(bins[0], weights=classes[0], minlength=512)
    guess = (people > 0.5 * totals)[bins[1]]
    union = (guess | (classes[1] > 0)).sum()
    assert (guess & (classes[1] > 0)).sum() / union < 0.45


def _colours_and_classes(pictures: list[Picture]) -> tuple[np.ndarray, np.ndarray]:
    """Each pixel's colour in 8 x 8 x 8 bins, and whether it is a person's."""
    pixels = np.concatenate([np.asarray(picture.image).reshape(-1, 3) for picture in pictures]).astype(int) // 32
    return pixels @ (64, 8, 1), np.concatenate([people_of(picture).reshape(-1) for picture in pictures])


@pytest.mark.parametrize(("size", "people"), [(64, 1), (64, 12), (256, 2)])
def test_every_allowed_setting_draws(size: int, people: int) -> None:
    config = SyntheticConfig(num_train_scenes=3, num_val_scenes=1, image_size=size, max_people=people)
    for scene in draw_index(config).train.scenes:
        assert isinstance(scene, SyntheticScene)
        picture = scene.read()
        assert picture.image.size == (size, size)
        assert 1 <= len(picture.people) <= people
