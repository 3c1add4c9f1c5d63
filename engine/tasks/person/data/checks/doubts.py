"""Doubts about a data set of any layout: readable data that may not mean what they say.

The thresholds tolerate the variation of real photographs. Of 594 people of COCO, no box covers less than 0.88 of its
mask's bounds (IoU). 4 % have a mask in distant parts, and none has scattered pixels.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from filecmp import cmp
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from engine.task import Doubt, UnusableSample
from engine.tasks.person.data.checks.copies import Thumbnail, copies, thumbnail
from engine.tasks.person.data.checks.suspicions import SUSPICIONS, Suspicion, sizeable
from engine.tasks.person.data.readers.scenes import Picture, Scene, SplitIndex

NUM_PICTURES: Final = 48
"""Pictures of a split that are checked before a run starts."""

MAX_SECONDS: Final = 0.4
"""Time limit in seconds for reading pictures of a split; the first few are always read."""

MAX_FILES: Final = 20_000
"""Maximum number of a split's files whose sizes are compared with the other split's."""

MAX_COMPARED: Final = 2_000
"""Maximum number of pairs of files of equal size that are compared."""

_MIN_PICTURES: Final = 4
_ORIENTATION: Final = 0x0112


class Look:
    """Findings in the pictures of one split."""

    def __init__(self) -> None:
        self._totals: Counter[str] = Counter()
        self._found: dict[str, list[Doubt]] = {}
        self._turned: list[Doubt] = []
        self.pixels: dict[bytes, str] = {}
        self.thumbnails: dict[str, Thumbnail] = {}

    def see(self, scene: Scene, picture: Picture) -> None:
        """Run every test on a picture."""
        self._totals["images"] += 1
        self._totals["people"] += sum(1 for _ in sizeable(picture))
        self.pixels.setdefault(hashlib.sha256(picture.image.tobytes()).digest(), scene.name)
        self.thumbnails[scene.name] = thumbnail(picture)
        for suspicion in SUSPICIONS:
            found = self._found.setdefault(suspicion.says, [])
            examples = (Doubt(scene.name, example) for example in suspicion.find(picture))
            found += examples if suspicion.of == "people" else islice(examples, 1)
        if turned := _orientation(scene.file, picture):
            self._turned.append(Doubt(scene.name, turned))

    def doubts(self) -> tuple[Doubt, ...]:
        """Return the doubts, each with an example.

        At most one is about people, since others usually follow from it.
        """
        found = [(suspicion.of, doubt) for suspicion in SUSPICIONS if (doubt := self._doubt(suspicion))]
        of_people = [doubt for of, doubt in found if of == "people"]
        said = of_people[:1] + [doubt for of, doubt in found if of != "people"]
        if self._turned:
            first, total = self._turned[0], self._totals["images"]
            text = (
                f"{len(self._turned)} of {total} checked images have an EXIF rotation ({first.message}), while "
                "their annotations have the size of the unrotated image, on which they are drawn: check that they match"
            )
            said.append(Doubt(first.file, text))
        return tuple(said)

    def _doubt(self, suspicion: Suspicion) -> Doubt | None:
        found, total = self._found.get(suspicion.says, []), self._totals[suspicion.of]
        if not found or len(found) <= suspicion.share * total:
            return None
        text = f"{len(found)} of {total} checked {suspicion.of} {suspicion.says}, such as {found[0].message}"
        return Doubt(found[0].file, text)


def sample_doubts(train: SplitIndex, val: SplitIndex) -> tuple[Doubt, ...]:
    """Return the doubts about a few pictures of both splits, drawn by a fixed seed, and about what they share."""
    looks = [_look(split.scenes) for split in (train, val)]
    return (*looks[0].doubts(), *looks[1].doubts(), *shared_doubts(train, val, *looks))


def shared_doubts(train: SplitIndex, val: SplitIndex, train_look: Look, val_look: Look) -> tuple[Doubt, ...]:
    """Return the doubts about images that are in both splits or twice in one, by file or by content."""
    twice = [doubt for split in (train, val) if (doubt := _listed_twice(split))]
    known = {scene.file: scene.name for scene in train.scenes if scene.file}
    shared = {scene.name: known[scene.file] for scene in val.scenes if scene.file in known}
    for digest in [digest for digest in val_look.pixels if digest in train_look.pixels]:
        shared.setdefault(val_look.pixels[digest], train_look.pixels[digest])
    for one, other in _equal_files(train.scenes, val.scenes):
        shared.setdefault(other.name, one.name)
    alike = [(one, other) for one, other in copies(train_look.thumbnails, val_look.thumbnails) if other not in shared]
    if alike:
        one, other = alike[0]
        text = f"{len(alike)} validation images look like copies of images in train, such as {other} of {one} there"
        twice.append(Doubt(other, f"{text}: re-encoded or resized, they are seen in training before"))
    if not shared:
        return tuple(twice)
    name, same = next(iter(shared.items()))
    renamed = "" if name == same else f", {name} there is {same} here"
    text = f"{len(shared)} of {len(val.scenes)} validation images are in train too{renamed}: training sees them before"
    return (*twice, Doubt(name, text))


def _look(scenes: Sequence[Scene]) -> Look:
    look, began = Look(), time.perf_counter()
    drawn = np.random.default_rng(0).permutation(len(scenes))[:NUM_PICTURES]
    for turn, place in enumerate(drawn):
        if turn >= _MIN_PICTURES and time.perf_counter() - began > MAX_SECONDS:
            break
        try:
            look.see(scenes[place], scenes[place].read())
        except UnusableSample:
            continue
    return look


def _orientation(file: Path | None, picture: Picture) -> str:
    """Return the ignored EXIF orientation of an image, or an empty string."""
    if file is None:
        return ""
    try:
        with Image.open(file) as opened:
            orientation, size = opened.getexif().get(_ORIENTATION, 1), opened.size
    except (OSError, ValueError, SyntaxError):
        return ""
    return f"orientation {orientation}" if orientation in range(2, 9) and size == picture.image.size else ""


def _listed_twice(split: SplitIndex) -> Doubt | None:
    names: dict[Path, list[str]] = {}
    for file, name in [(scene.file, scene.name) for scene in split.scenes if scene.file]:
        names.setdefault(file, []).append(name)
    again = [each[0] for each in names.values() if len(each) > 1]
    if not again:
        return None
    return Doubt(again[0], f"{len(again)} images are listed twice: the people of the one are background in the other")


def _equal_files(train: Sequence[Scene], val: Sequence[Scene]) -> Iterator[tuple[Scene, Scene]]:
    """Yield images of train and val that are different files with equal bytes. Only files of equal size are read."""
    by_size: dict[int, list[Scene]] = {}
    for scene, size in _sizes(train, MAX_FILES):
        by_size.setdefault(size, []).append(scene)
    pairs = ((other, scene) for scene, size in _sizes(val, MAX_FILES // 10) for other in by_size.get(size, ()))
    return (pair for pair in islice(pairs, MAX_COMPARED) if _are_equal(pair[0].file, pair[1].file))


def _sizes(scenes: Sequence[Scene], most: int) -> Iterator[tuple[Scene, int]]:
    """Yield up to `most` scenes, evenly spaced, with the sizes of their files in bytes."""
    for scene in scenes[:: 1 + len(scenes) // most]:
        with suppress(OSError):
            if scene.file:
                yield scene, scene.file.stat().st_size


def _are_equal(one: Path | None, other: Path | None) -> bool:
    """Return whether two files of equal size have equal bytes. The middle differs most often, so it is read first."""
    with suppress(OSError):
        return bool(
            one and other and one != other and _middle(one) == _middle(other) and cmp(one, other, shallow=False)
        )
    return False


def _middle(file: Path) -> bytes:
    with file.open("rb") as opened:
        opened.seek(file.stat().st_size // 2)
        return opened.read(1 << 14)
