"""The cache of read pictures."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field

import numpy as np
import pytest
from PIL import Image

from engine.task import UnusableSample
from engine.tasks.person.data.cache import PictureCache
from engine.tasks.person.data.readers.scenes import Box, PersonMask, Picture

BYTES = 4 * 10 * 10 + 25


@dataclass
class CountingScene:
    name: str = "scene"
    error: str = ""
    num_reads: int = 0
    boxes: tuple[Box | None, ...] = field(default=((0.0, 0.0, 5.0, 5.0),))
    file: None = None

    def read(self) -> Picture:
        self.num_reads += 1
        if self.error:
            raise UnusableSample(self.error)
        return Picture(Image.new("RGB", (10, 10)), (PersonMask("1", (0, 0, 5, 5), 0, 0, np.ones((5, 5), dtype=bool)),))


def test_a_scene_is_read_once_however_many_regions_it_has() -> None:
    scene = CountingScene()
    cache = PictureCache((scene,), 10_000)
    assert cache.read(0) is cache.read(0)
    assert scene.num_reads == 1


def test_no_more_is_held_than_allowed_and_the_least_recently_used_goes_first() -> None:
    scenes = tuple(CountingScene() for _ in range(3))
    cache = PictureCache(scenes, 2 * BYTES)
    for index in (0, 1, 0, 2, 0, 1):
        cache.read(index)
        assert cache.num_bytes <= 2 * BYTES
    assert [scene.num_reads for scene in scenes] == [1, 2, 1]


def test_a_picture_larger_than_the_cache_is_read_but_not_held() -> None:
    scene = CountingScene()
    cache = PictureCache((scene,), BYTES - 1)
    cache.read(0)
    cache.read(0)
    assert (scene.num_reads, cache.num_bytes) == (2, 0)


def test_a_failure_is_remembered() -> None:
    scene = CountingScene(error="broken")
    cache = PictureCache((scene,), 10_000)
    for _ in range(3):
        with pytest.raises(UnusableSample, match="broken"):
            cache.read(0)
    assert scene.num_reads == 1


def test_a_copy_for_another_process_starts_empty() -> None:
    cache = PictureCache((CountingScene(),), 10_000)
    cache.read(0)
    copy = pickle.loads(pickle.dumps(cache))
    assert copy.num_bytes == 0
    assert copy.read(0).image.size == (10, 10)
