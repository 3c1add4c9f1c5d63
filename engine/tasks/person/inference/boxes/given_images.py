"""The images of a prediction, and the search for one by a name or a number in a file of boxes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from engine.errors import UserError
from engine.protocol.record import record
from engine.task import UnusableSample
from engine.tasks.person.data.readers.coco.boxes import corners, read_box
from engine.tasks.person.data.readers.coco.values import as_number, shown
from engine.tasks.person.data.readers.image_files import image_files
from engine.tasks.person.data.readers.pixels import Size
from engine.tasks.person.data.readers.scenes import Box
from engine.tasks.person.data.readers.spellings import fold, num_equal, spellings

_NUM_NAMED: Final = 3


@record
class NamedBox:
    """A given box (left, top, right, bottom), its score if there is one, and its place, such as `line 3`."""

    box: Box
    score: float | None
    place: str


@dataclass(slots=True)
class ImageBoxes:
    """A given image with its boxes. `name` is for people; `size` and `image_id` are those of the file of boxes.

    `faults` are sentences about boxes that cannot be used.
    """

    file: Path
    name: str
    size: Size | None = None
    image_id: int | str | None = None
    boxes: list[NamedBox] = field(default_factory=list[NamedBox])
    faults: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class BoxCount:
    """Takes the boxes of a file one by one, and counts those that are left out: of other images, or of a low score."""

    min_score: float
    num_foreign: int = 0
    num_low: int = 0
    faults: list[str] = field(default_factory=list[str])

    def take(self, find: Callable[[], ImageBoxes | None], bbox: object, score: object, place: str) -> ImageBoxes | None:
        """Add a box to the image that `find` returns, unless it is left out. Return the image, or `None`."""
        try:
            image = find()
        except UnusableSample as error:
            self.faults.append(str(error))
            return None
        values, number = read_box(bbox), as_number(score)
        if image is None:
            self.num_foreign += 1
        elif values is None:
            image.faults.append(f"{place} has no box: it is {shown(bbox)}")
        elif score is not None and number is None:
            image.faults.append(f"{place} has a score that is not a number: {shown(score)}")
        elif number is not None and number < self.min_score:
            self.num_low += 1
        else:
            image.boxes.append(NamedBox(corners(values), number, place))
        return image

    def notes(self) -> Iterator[str]:
        """Yield sentences on the boxes that are left out, and on the first name that fits several images."""
        yield from self.faults[:1]
        if self.num_foreign:
            yield f"{_boxes(self.num_foreign)} of other images left out"
        if self.num_low:
            yield f"{_boxes(self.num_low)} with a score under {self.min_score:g} left out"


class GivenImages:
    """The given images, each once, and a search among them by name or number."""

    def __init__(self, places: Sequence[Path]) -> None:
        files = dict((os.path.realpath(file), (file, name)) for file, name in reversed(list(_files(places))))
        self.images = tuple(ImageBoxes(file, name) for file, name in reversed(files.values()))
        self._by_base: dict[str, list[int]] = {}
        self._by_stem: dict[str, list[int]] = {}
        for index, image in enumerate(self.images):
            self._by_base.setdefault(fold(image.file.name), []).append(index)
            self._by_stem.setdefault(fold(image.file.stem), []).append(index)
        self._by_number = {int(stem): found for stem, found in self._by_stem.items() if _is_number(stem)}

    def find(self, name: str) -> ImageBoxes | None:
        """Return the image that `name` refers to, in any spelling of it, or `None`.

        Of several with the same base name, the one with the longest common path is taken. Raises UnusableSample if that
        leaves more than one.
        """
        for spelling in spellings(name):
            path = PurePosixPath(spelling)
            found = self._by_base.get(fold(path.name)) or self._by_stem.get(fold(path.name)) or []
            if found:
                return self._only(name, self._nearest(found, path))
        return None

    def with_number(self, number: int) -> ImageBoxes | None:
        """Return the image whose file is named by a number, such as 000000000139.jpg, or `None`.

        Raises UnusableSample if there are several.
        """
        found = self._by_number.get(number, [])
        return self._only(str(number), found) if found else None

    def _nearest(self, found: Sequence[int], path: PurePosixPath) -> list[int]:
        """Return those of `found` with the longest common path ending."""
        likeness = [_num_equal(self.images[index].file.resolve().parts[:-1], path.parts[:-1]) for index in found]
        return [index for index, equal in zip(found, likeness, strict=True) if equal == max(likeness)]

    def _only(self, name: str, found: Sequence[int]) -> ImageBoxes:
        if len(found) > 1:
            files = ", ".join(str(self.images[index].file) for index in found[:_NUM_NAMED])
            raise UnusableSample(f"the name {name!r} in the file of boxes fits {len(found)} given images: {files}")
        return self.images[found[0]]


def _files(places: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """Yield each image file with its name. Raises UserError if a place does not exist or holds no image."""
    for place in places:
        if place.is_dir():
            names = image_files(place)
            if not names:
                raise UserError(f"there is no image in {place}: give a directory with images, or image files")
            yield from ((place / name, name) for name in names)
        elif place.exists():
            yield place, place.name
        else:
            raise UserError(f"there is no image {place}: give image files, or directories of them")


def _boxes(count: int) -> str:
    return "1 box" if count == 1 else f"{count} boxes"


def _num_equal(folders: Sequence[str], wanted: Sequence[str]) -> int:
    """Return how many folders match `wanted`, counted from the file upwards."""
    return num_equal(map(fold, reversed(folders)), map(fold, reversed(wanted)))


def _is_number(stem: str) -> bool:
    return stem.isascii() and stem.isdecimal() and len(stem) <= 18
