"""Report the content and the problems of a data directory, without torch, for `main.py data inspect`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.protocol.record import record
from engine.task import Doubt, Rejection, UnusableSample
from engine.tasks.person.data.checks.contact_sheet import claim_directory, write_sheets
from engine.tasks.person.data.checks.doubts import Look, shared_doubts
from engine.tasks.person.data.labels import label_region
from engine.tasks.person.data.readers.coco.reader import CocoOptions
from engine.tasks.person.data.readers.index import index_dataset
from engine.tasks.person.data.readers.reports.box_sides import percentiles
from engine.tasks.person.data.readers.scenes import Scene, SplitIndex, check_target, targets_of

MAX_READ: Final = 1000
"""Maximum number of decoded images per split, evenly spaced. For others only annotations are checked."""

MAX_PIXELS: Final = 120_000_000
"""Maximum number of decoded pixels of a split with more than MAX_READ images; at least MIN_READ images are decoded."""

MIN_READ: Final = 50

_NUM_TRIED: Final = 5
_LABEL_SIZE: Final = 64


@record
class SplitReport:
    """One split: counts, class shares in the decoded regions, and box sides in pixels."""

    name: str
    num_images: int
    num_images_with_people: int
    num_images_read: int
    num_people: int
    num_rois: int
    num_small: int
    num_crowds: int
    class_shares: tuple[float, float, float]
    width_percentiles: tuple[float, ...]
    height_percentiles: tuple[float, ...]
    problems: tuple[Rejection, ...]
    doubts: tuple[Doubt, ...] = ()


@record
class DatasetReport:
    """Both splits of a directory; `verdict` is one sentence on whether a run can train on it."""

    path: Path
    layout: str
    splits: tuple[SplitReport, ...]
    is_usable: bool
    verdict: str
    pictures: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


def inspect_dataset(
    path: Path,
    *,
    min_pixels: int = 16,
    max_read: int = MAX_READ,
    pictures: Path | None = None,
    options: CocoOptions | None = None,
) -> DatasetReport:
    """Check every annotation, decode up to `max_read` images per split, and list unusable data.

    People under `min_pixels` per side count as small: part of the scene, but not a region of interest. With `pictures`,
    a contact sheet of each split is written there. Raises UserError if the directory does not exist, its layout is
    unknown, or the sheets cannot be written.
    """
    if pictures:
        claim_directory(pictures, path)
    index = index_dataset(path, options=options)
    looks = Look(), Look()
    train = _inspect_split("train", index.train, looks[0], min_pixels=min_pixels, max_read=max_read)
    val = _inspect_split("val", index.val, looks[1], min_pixels=min_pixels, max_read=max_read)
    shared = shared_doubts(index.train, index.val, *looks)
    splits = train, replace(val, doubts=(*val.doubts, *shared))
    is_usable, verdict = _step_monitor(splits)
    sheets = write_sheets(index, pictures, min_pixels) if pictures else ()
    return DatasetReport(path, index.layout, splits, is_usable, verdict, sheets, index.notes)


def _inspect_split(name: str, split: SplitIndex, look: Look, *, min_pixels: int, max_read: int) -> SplitReport:
    targets = targets_of(split.scenes, min_pixels)
    reading = _read_some(split.scenes, targets, max_read, look)
    boxes = [scene.boxes for scene in split.scenes]
    boxes_B4 = np.array([boxes[scene][person] for scene, person in targets], dtype=np.float64).reshape(-1, 4)
    num_people = sum(map(len, boxes))
    num_measured = sum(box is not None for people in boxes for box in people)
    return SplitReport(
        name=name,
        num_images=split.num_images,
        num_images_with_people=len(split.scenes),
        num_images_read=reading.num_read,
        num_people=num_people,
        num_rois=len(targets) - reading.num_lost,
        num_small=num_measured - len(targets),
        num_crowds=split.num_crowds,
        class_shares=reading.shares,
        width_percentiles=percentiles(boxes_B4[:, 2] - boxes_B4[:, 0]),
        height_percentiles=percentiles(boxes_B4[:, 3] - boxes_B4[:, 1]),
        problems=(*split.problems, *reading.problems),
        doubts=(*split.doubts, *look.doubts()),
    )


@dataclass(slots=True)
class _Decoding:
    """Results of decoding: pixels by class, unusable regions and their reasons. `look` receives every picture."""

    look: Look
    num_read: int = 0
    num_lost: int = 0
    problems: list[Rejection] = field(default_factory=list[Rejection])
    pixels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(3, dtype=np.int64))

    def read(self, scene: Scene, people: Sequence[int]) -> None:
        """Decode a scene and label the regions of `people`."""
        self.num_read += 1
        try:
            picture = scene.read()
        except UnusableSample as error:
            self._lose(scene, str(error), len(people))
            return
        self.look.see(scene, picture)
        for person in people:
            try:
                check_target(picture.people[person])
            except UnusableSample as error:
                self._lose(scene, str(error), 1)
                continue
            label_HW = label_region(picture, person, picture.people[person].box, _LABEL_SIZE)
            self.pixels += np.bincount(label_HW.reshape(-1), minlength=3)

    @property
    def shares(self) -> tuple[float, float, float]:
        """Background, target and other as fractions of all pixels; zeros if none were decoded."""
        background, target, other = (float(count) / max(int(self.pixels.sum()), 1) for count in self.pixels)
        return background, target, other

    def _lose(self, scene: Scene, error: str, num_regions: int) -> None:
        self.num_lost += num_regions
        self.problems.append(Rejection(scene.name, error))


def _read_some(scenes: Sequence[Scene], targets: Sequence[tuple[int, int]], max_read: int, look: Look) -> _Decoding:
    people_of: dict[int, list[int]] = {}
    for scene, person in targets:
        people_of.setdefault(scene, []).append(person)
    reading = _Decoding(look)
    num_read = min(len(scenes), max_read, _num_affordable(scenes))
    for turn in range(num_read):
        number = turn * len(scenes) // num_read
        reading.read(scenes[number], people_of.get(number, []))
    return reading


def _num_affordable(scenes: Sequence[Scene]) -> int:
    """Return how many images stay within MAX_PIXELS, estimated from the first.

    Each image is decoded once per person.
    """
    for scene in scenes[:_NUM_TRIED] if len(scenes) > MAX_READ else ():
        with suppress(UnusableSample):
            width, height = scene.read().image.size
            people = sum(len(each.boxes) for each in scenes) / len(scenes)
            return max(MIN_READ, int(MAX_PIXELS / (width * height * (1 + people))))
    return len(scenes)


def _step_monitor(splits: Sequence[SplitReport]) -> tuple[bool, str]:
    empty = [split.name for split in splits if split.num_rois == 0]
    num_problems = sum(len(split.problems) for split in splits)
    if empty:
        return False, f"Verdict: a run cannot train on this: no usable person in {' and '.join(empty)}."
    num_doubts = sum(len(split.doubts) for split in splits)
    caveat = f"; {num_problems} problems are left out and replaced" if num_problems else ""
    caveat += f"; check the doubts first ({num_doubts})" if num_doubts else ""
    return True, f"Verdict: a run can train on this{caveat}."
