"""The boxes of people in a COCO file with annotations, as the training reads them; outlines are not required."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from engine.errors import UserError
from engine.task import UnusableSample
from engine.tasks.person.data.readers.coco.boxes import corners, read_box
from engine.tasks.person.data.readers.coco.categories import PersonCategory
from engine.tasks.person.data.readers.coco.document import (
    CocoDocument,
    Detection,
    ImageEntry,
    PolygonBody,
    load_document,
    read_body,
    read_detection,
    read_head,
)
from engine.tasks.person.data.readers.coco.outlines import outline_bounds
from engine.tasks.person.data.readers.coco.people import CocoPerson, PeopleReader
from engine.tasks.person.data.readers.coco.reader import MAX_SIDE
from engine.tasks.person.data.readers.coco.values import as_flag, as_integer, as_number, id_reader, shown
from engine.tasks.person.data.readers.pixels import Size
from engine.tasks.person.inference.boxes.given_images import BoxCount, GivenImages, ImageBoxes, NamedBox

CROWDS: Final = "crowd annotations (iscrowd=1) are left out"


def read_annotated(file: Path, images: GivenImages, min_score: float) -> tuple[str, ...]:
    """Add the boxes of a COCO file to the given images, and return sentences on the rest.

    Annotations may have scores. Raises UserError if there is no person category, UnusableSample if the file is not
    COCO JSON, OSError if it cannot be read.
    """
    document = load_document(file)
    category = PersonCategory(document.categories)
    if category.fault:
        raise UserError(f"{file}: {category.fault}")
    found = find_listed(document.images, images)
    entries, num_crowds = _people(document, found, category)
    reader = PeopleReader()
    count = BoxCount(min_score)
    read: list[tuple[ImageBoxes, int, CocoPerson]] = []
    for image, entry in [(found.by_key[key], entry) for key, held in entries.items() for entry in held]:
        if (person := _add(entry, image, reader, count)) is not None:
            read.append((image, len(image.boxes) - 1, person))
    if reader.deviations.common_convention():
        _take_bounds(read)
    notes = list(reader.deviations.doubts())
    notes += [text for text in (category.ambiguity, category.unread_people) if text]
    return (*found.notes, *count.notes(), *notes, *([f"{num_crowds} {CROWDS}"] if num_crowds else []))


class FoundImages:
    """The given images by the keys of a list of images, and sentences on the others."""

    def __init__(self, read_id: Callable[[object], Hashable]) -> None:
        self.read_id = read_id
        self.by_key: dict[Hashable, ImageBoxes] = {}
        self.notes: tuple[str, ...] = ()


def find_listed(entries: Sequence[ImageEntry], images: GivenImages) -> FoundImages:
    """Return the given images among the entries of a COCO list, with the size and the id that it gives them."""
    found = FoundImages(id_reader(entry.id for entry in entries))
    names: dict[Hashable, set[str]] = defaultdict(set)
    for entry in entries:
        names[found.read_id(entry.id)].add(entry.name or "")
    ambiguous: list[str] = []
    repeated = 0
    for entry in entries:
        key = found.read_id(entry.id)
        if key is None or entry.name is None:
            continue
        try:
            image = images.find(entry.name)
        except UnusableSample as error:
            ambiguous.append(str(error))
            continue
        if image is not None and len(names[key]) > 1:
            repeated += 1
        elif image is not None:
            number = as_integer(entry.id)
            image.size, image.image_id = _size(entry), shown(entry.id) if number is None else number
            found.by_key[key] = image
    twice = f"{repeated} images share their id with others in the file of boxes: their boxes cannot be told apart"
    found.notes = (*ambiguous[:1], *([twice] if repeated else []))
    return found


def _people(
    document: CocoDocument, found: FoundImages, category: PersonCategory
) -> tuple[Mapping[Hashable, list[object]], int]:
    """Return the annotations of people on the given images by image, and the number of crowds among them."""
    entries: dict[Hashable, list[object]] = defaultdict(list)
    num_crowds = 0
    for entry in document.annotations:
        head = read_head(entry)
        key = found.read_id(head.image_id) if head is not None else None
        if head is None or key not in found.by_key or not category.is_person(head.category_id):
            continue
        if as_flag(head.crowd):
            num_crowds += 1
        else:
            entries[key].append(entry)
    return entries, num_crowds


def _add(entry: object, image: ImageBoxes, reader: PeopleReader, count: BoxCount) -> CocoPerson | None:
    """Add the box of an annotation to its image. Return the person if it has an outline to compare the box with."""
    detection = read_detection(entry) or Detection()
    score = as_number(detection.score)
    if score is not None and score < count.min_score:
        count.num_low += 1
        return None
    place = f"annotation {shown(detection.id)}"
    body = read_body(entry)
    person = reader.read(body, image.name, image.size) if body.segmentation and image.size else None
    if person is not None and person.box is not None:
        image.boxes.append(NamedBox(person.box, score, place))
        return person
    values = body.bbox if isinstance(body, PolygonBody) else read_box(body.bbox)
    if values is None or values[2] <= 0 or values[3] <= 0:
        image.faults.append(f"{place} has no box: its bbox is {shown(detection.bbox)}")
    else:
        image.boxes.append(NamedBox(corners(values), score, place))
    return None


def _take_bounds(read: Sequence[tuple[ImageBoxes, int, CocoPerson]]) -> None:
    """Replace boxes by the bounds of their outlines: most boxes of the file are in another convention."""
    for image, place, person in read:
        assert image.size is not None
        image.boxes[place] = replace(image.boxes[place], box=outline_bounds(person.outline, image.size))


def _size(entry: ImageEntry) -> Size | None:
    width, height = as_integer(entry.width), as_integer(entry.height)
    if width and height and 0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE:
        return width, height
    return None
