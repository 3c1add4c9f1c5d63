"""Measure the people of a data directory: class shares, sizes and overlap, and the class weights that follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from engine.protocol.record import record
from engine.tasks.person.data.checks.doubts import sample_doubts
from engine.tasks.person.data.readers.coco.reader import CocoOptions
from engine.tasks.person.data.readers.index import index_dataset
from engine.tasks.person.data.readers.reports.box_sides import percentiles
from engine.tasks.person.data.readers.reports.region_sums import sum_regions
from engine.tasks.person.data.readers.scenes import Box, SplitIndex, targets_of

MAX_READ: Final = 1000
"""Maximum number of decoded images per split, evenly spaced."""

SIZES: Final = {"small": 32**2, "medium": 96**2}
"""Areas in pixels below which COCO calls a person small or medium; the others are large."""

NEAR: Final = 0.1
"""Overlap (IoU) of two boxes from which people count as close."""

Shares = tuple[float, float, float]


@record
class SplitStatistics:
    """One split. Shares are fractions of background, target and other; `None` if no region could be read.

    `class_shares` count each region's 64 x 64 bins, as a network sees them, and `pixel_shares` the image's pixels.
    `share_with_others` is the fraction of regions with pixels of another person, `share_near_others` of those whose box
    overlaps another by an IoU of 0.1. `share_other_where_present` is the mean share of other in the former.
    """

    num_images: int
    num_images_with_people: int
    num_images_read: int
    num_people: int
    num_regions: int
    people_per_image: float
    most_people: int
    class_shares: Shares | None
    pixel_shares: Shares | None
    people_per_region: float
    share_with_others: float
    share_near_others: float
    share_other_where_present: float
    sizes: dict[str, int]
    width_percentiles: tuple[float, ...]
    height_percentiles: tuple[float, ...]


@record
class DatasetStatistics:
    """Both splits by name, and the class weights that follow from the train split; `None` if a class is missing.

    `num_problems` are unusable data, and `doubts` are sentences on data that may mean something else.
    """

    path: str
    layout: str
    splits: dict[str, SplitStatistics]
    class_weights: Shares | None
    num_problems: int = 0
    doubts: tuple[str, ...] = ()


def measure_dataset(
    path: Path, options: CocoOptions, *, min_pixels: int = 16, max_read: int = MAX_READ
) -> DatasetStatistics:
    """Return the statistics of both splits, from at most `max_read` images each.

    Regions are boxes of at least `min_pixels` per side, as in training. Raises UserError if the directory does not
    exist, its layout is unknown, or there is no region in it.
    """
    index = index_dataset(path, options=options)
    splits = {
        name: _measure_split(split, min_pixels, max_read, lambda text, name=name: options.say(f"{name}: {text}"))
        for name, split in (("train", index.train), ("val", index.val))
    }
    problems = (*index.train.problems, *index.val.problems)
    if not any(split.num_regions for split in splits.values()):
        first = f" ({len(problems)} problems, the first in {problems[0].file}: {problems[0].error})" if problems else ""
        raise UserError(f"{path} has no person of at least {min_pixels} x {min_pixels} pixels to measure{first}")
    doubts = (*index.train.doubts, *index.val.doubts, *sample_doubts(index.train, index.val))
    return DatasetStatistics(
        str(path),
        index.layout,
        splits,
        class_weights(splits["train"].class_shares),
        len(problems),
        tuple(f"{doubt.file}: {doubt.message}" for doubt in doubts),
    )


def class_weights(shares: Shares | None) -> Shares | None:
    """Return weights proportional to the inverse shares of the classes, with a mean of 1.

    Return `None` if a class has no share. With these, each class contributes equally to the cross-entropy.
    """
    if shares is None or min(shares) <= 0:
        return None
    inverse = [1 / share for share in shares]
    background, target, other = (float(f"{3 * value / sum(inverse):.3g}") for value in inverse)
    return background, target, other


def _measure_split(split: SplitIndex, min_pixels: int, max_read: int, say: Callable[[str], None]) -> SplitStatistics:
    targets = targets_of(split.scenes, min_pixels)
    sums = sum_regions(split.scenes, targets, max_read, say)
    boxes = [[box for box in scene.boxes if box is not None] for scene in split.scenes]
    chosen_B4 = np.array([split.scenes[scene].boxes[person] for scene, person in targets], float).reshape(-1, 4)
    near = [near for scene in split.scenes for near in _nearness(scene.boxes, min_pixels)]
    num_people = sum(len(scene.boxes) for scene in split.scenes)
    others = [share for share in sums.other_shares if share > 0]
    return SplitStatistics(
        num_images=split.num_images,
        num_images_with_people=len(split.scenes),
        num_images_read=sums.num_read,
        num_people=num_people,
        num_regions=len(targets),
        people_per_image=_ratio(num_people, len(split.scenes)),
        most_people=max(map(len, boxes), default=0),
        class_shares=_shares(sums.bins_3),
        pixel_shares=_shares(sums.pixels_3),
        people_per_region=_ratio(sum(sums.people_per_region), len(sums.people_per_region)),
        share_with_others=_ratio(len(others), len(sums.other_shares)),
        share_near_others=_ratio(sum(near), len(near)),
        share_other_where_present=_ratio(sum(others), len(others)),
        sizes=_sizes(sums.areas),
        width_percentiles=percentiles(chosen_B4[:, 2] - chosen_B4[:, 0]),
        height_percentiles=percentiles(chosen_B4[:, 3] - chosen_B4[:, 1]),
    )


def _nearness(boxes: Sequence[Box | None], min_pixels: int) -> list[bool]:
    """Return for each region of an image whether its box overlaps another person's by at least `NEAR`."""
    held_B4 = np.array([box for box in boxes if box is not None], float).reshape(-1, 4)
    sides_B2 = held_B4[:, 2:] - held_B4[:, :2]
    low_BB2 = np.maximum(held_B4[:, None, :2], held_B4[None, :, :2])
    high_BB2 = np.minimum(held_B4[:, None, 2:], held_B4[None, :, 2:])
    common_BB = np.clip(high_BB2 - low_BB2, 0, None).prod(2)
    areas_B = sides_B2.prod(1)
    iou_BB = common_BB / (areas_B[:, None] + areas_B[None] - common_BB)
    np.fill_diagonal(iou_BB, 0)
    is_near_B = (iou_BB >= NEAR).any(1)
    return is_near_B[sides_B2.min(1) >= min_pixels].tolist() if len(held_B4) else []


def _shares(counts_3: NDArray[np.int64] | NDArray[np.float64]) -> Shares | None:
    total = float(counts_3.sum())
    if not total:
        return None
    background, target, other = (float(count) / total for count in counts_3)
    return background, target, other


def _sizes(areas: Sequence[int]) -> dict[str, int]:
    """Return the number of people of each of COCO's sizes, by the areas of their masks."""
    small = sum(area < SIZES["small"] for area in areas)
    medium = sum(area < SIZES["medium"] for area in areas) - small
    return {"small": small, "medium": medium, "large": len(areas) - small - medium}


def _ratio(count: float, total: int) -> float:
    return count / total if total else 0.0
