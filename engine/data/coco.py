"""COCO instance annotations: the people of a JSON file and the images it lists."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from engine.data.outlines import Outline, draw_outline, outline_bounds, parse_outline
from engine.data.pixels import Size, read_image, stored_size
from engine.data.rejections import Rejection, UnusableSample
from engine.data.scenes import Box, Picture, SplitIndex, cut_mask

Entry = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class CocoPerson:
    """One annotation that can be drawn; `box` is None where the person can be no target."""

    id: str
    box: Box | None
    outline: Outline


@dataclass(frozen=True, slots=True)
class CocoScene:
    """One image file with its annotated people; `size` is (width, height) as the annotations have it."""

    file: Path
    name: str
    size: Size
    people: tuple[CocoPerson, ...]

    @property
    def boxes(self) -> tuple[Box | None, ...]:
        """The annotated boxes, cut to the image."""
        return tuple(person.box for person in self.people)

    def read(self) -> Picture:
        """Decode the image and draw every outline; raises UnusableSample when the image does not allow it."""
        image = read_image(self.file, self.size)
        masks = (cut_mask(draw_outline(p.outline, self.size), id=p.id, box=p.box) for p in self.people)
        return Picture(image, tuple(masks))


def index_coco(json_file: Path, image_dirs: Iterable[Path]) -> SplitIndex:
    """The people of a COCO JSON file; images lie in whichever of `image_dirs` has most of them.

    Everything that cannot be used is listed as a problem, by image file where there is one; nothing is raised.
    """
    try:
        document = _load(json_file)
    except UnusableSample as error:
        return SplitIndex((), (Rejection(json_file.name, str(error)),))
    reading = _Reading(json_file.name, _image_dir(_entries(document, "images"), list(image_dirs)))
    reading.group_people(document)
    scenes = [scene for entry in _entries(document, "images") if (scene := reading.scene(entry)) is not None]
    reading.finish()
    return SplitIndex(tuple(scenes), tuple(reading.problems), len(_entries(document, "images")), reading.num_crowds)


def _load(json_file: Path) -> Entry:
    try:
        document = json.loads(json_file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UnusableSample(f"the file is not readable JSON: {error}") from error
    lists = ("images", "annotations", "categories")
    if not isinstance(document, dict) or not all(isinstance(document.get(key), list) for key in lists):
        raise UnusableSample("the file is not COCO JSON: it needs the lists images, annotations and categories")
    return cast(Entry, document)


def _entries(document: Entry, key: str) -> list[Entry]:
    return [cast(Entry, entry) for entry in cast(list[object], document[key]) if isinstance(entry, dict)]


def _image_dir(images: list[Entry], candidates: list[Path]) -> Path:
    """The candidate that holds most of some images spread over the list; where none has any, the first there is."""
    names = [str(entry.get("file_name")) for entry in images[:: max(1, len(images) // 100)]]
    return max(candidates, key=lambda folder: (sum((folder / name).is_file() for name in names), folder.is_dir()))


@dataclass(slots=True)
class _Reading:
    """One pass over a document: people by image, then scenes, with the problems met on the way."""

    json_name: str
    image_dir: Path
    problems: list[Rejection] = field(default_factory=list[Rejection])
    num_crowds: int = 0
    people: dict[object, list[Entry]] = field(default_factory=lambda: defaultdict(list))

    def group_people(self, document: Entry) -> None:
        """Sort the person annotations by image id, leaving crowds out."""
        categories = _entries(document, "categories")
        person = {entry.get("id") for entry in categories if str(entry.get("name")).strip().lower() == "person"}
        if not person:
            names = ", ".join(sorted(str(entry.get("name")) for entry in categories)[:8]) or "none"
            self.problems.append(Rejection(self.json_name, f"there is no category 'person', only: {names}"))
        for entry in _entries(document, "annotations"):
            if entry.get("category_id") not in person:
                continue
            if entry.get("iscrowd"):
                self.num_crowds += 1
            else:
                self.people[_key(entry.get("image_id"))].append(entry)

    def scene(self, entry: Entry) -> CocoScene | None:
        """The scene of an image entry, or None where it has no people or cannot be used."""
        annotations = self.people.pop(_key(entry.get("id")), [])
        name = entry.get("file_name")
        if not annotations:
            return None
        if not isinstance(name, str):
            self._reject(self.json_name, f"image {entry.get('id')} has no file name")
            return None
        try:
            size = self._size(entry, self.image_dir / name)
        except UnusableSample as error:
            self._reject(name, str(error))
            return None
        people = [person for annotation in annotations if (person := self._person(annotation, name, size)) is not None]
        return CocoScene(self.image_dir / name, name, size, tuple(people)) if people else None

    def finish(self) -> None:
        """Report the annotations that no image claimed."""
        orphans = [entry for entries in self.people.values() for entry in entries]
        if orphans:
            first = f"the first is annotation {orphans[0].get('id')} of image {orphans[0].get('image_id')}"
            self._reject(self.json_name, f"{len(orphans)} annotations belong to images that are not listed; {first}")

    def _size(self, entry: Entry, file: Path) -> Size:
        if not file.is_file():
            raise UnusableSample("the image file is missing")
        width, height = entry.get("width"), entry.get("height")
        if isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0:
            return width, height
        return stored_size(file)

    def _person(self, annotation: Entry, name: str, size: Size) -> CocoPerson | None:
        person_id = str(annotation.get("id"))
        try:
            outline = parse_outline(annotation.get("segmentation"), size)
        except UnusableSample as error:
            self._reject(name, f"annotation {person_id} {error}")
            return None
        box = _cut(_box(annotation.get("bbox")) or outline_bounds(outline, size), size)
        if box is None:
            self._reject(name, f"annotation {person_id} has a box outside the image")
        return CocoPerson(person_id, box, outline)

    def _reject(self, file: str, error: str) -> None:
        self.problems.append(Rejection(file, error))


def _key(image_id: object) -> object:
    """An image id that can be looked up; what is no number and no text stands for an image that nobody lists."""
    return image_id if isinstance(image_id, int | str) else None


def _box(bbox: object) -> Box | None:
    """(left, top, right, bottom) of COCO's [left, top, width, height], or None where it is no box."""
    values = cast(list[object], bbox) if isinstance(bbox, list) else []
    if len(values) != 4 or not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
        return None
    left, top, width, height = (float(cast(float, value)) for value in values)
    return left, top, left + width, top + height


def _cut(box: Box, size: Size) -> Box | None:
    """The part of the box that lies in the image, or None where there is none."""
    left, top, right, bottom = max(box[0], 0.0), max(box[1], 0.0), min(box[2], size[0]), min(box[3], size[1])
    return (left, top, right, bottom) if right > left and bottom > top else None
