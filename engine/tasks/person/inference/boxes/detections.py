"""The boxes of a detector in COCO's result format: a JSON list of image, category, box and score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from engine.errors import UserError
from engine.tasks.person.data.readers.coco.categories import PersonCategory
from engine.tasks.person.data.readers.coco.document import Detection, load_images, read_detection
from engine.tasks.person.data.readers.coco.values import as_id, as_integer, shown
from engine.tasks.person.inference.boxes.annotations import find_listed
from engine.tasks.person.inference.boxes.given_images import BoxCount, GivenImages, ImageBoxes

PERSON: Final = 1
"""The category of people in COCO, with which most detectors are trained."""

_NUM_NAMED: Final = 4


def read_detections(
    entries: list[object], images: GivenImages, image_list: Path | None, category: str, min_score: float
) -> tuple[str, ...]:
    """Add the boxes of a result list to the given images, and return sentences on the rest.

    `file_name`, or a text in `image_id`, names an entry's image; a number is an id of `image_list`, or the file's name.
    Raises UserError if no entry is of a person, UnusableSample or OSError as `load_images` does.
    """
    find, is_person, notes = _finders(images, image_list, category)
    count = BoxCount(min_score)
    others: Counter[str] = Counter()
    for number, entry in enumerate(entries, start=1):
        found = read_detection(entry)
        if found is None:
            count.faults.append(f"entry {number} of the boxes is not an object: {shown(entry)}")
        elif not is_person(found.category_id):
            others[shown(found.category_id)] += 1
        else:
            image = count.take(partial(find, found), found.bbox, found.score, f"entry {number}")
            if image is not None and image.image_id is None and type(found.image_id) in (int, str):
                image.image_id = found.image_id
    if entries and others.total() == len(entries):
        raise UserError(f"no entry of the boxes is of a person: {_counted(others)}; name the person's id by --category")
    foreign = f"boxes of other categories left out: {_counted(others)}"
    return (*notes, *count.notes(), *([foreign] if others else []))


def _finders(
    images: GivenImages, image_list: Path | None, category: str
) -> tuple[Callable[[Detection], ImageBoxes | None], Callable[[object], bool], list[str]]:
    """Return the searches for an entry's image and for people, and sentences on the list of images."""
    person = as_id(category) if category else PERSON
    if image_list is None:
        return lambda entry: _by_name(entry, images), lambda given: given is None or as_id(given) == person, []
    document = load_images(image_list)
    found = find_listed(document.images, images)
    listed = PersonCategory(document.categories)

    def find(entry: Detection) -> ImageBoxes | None:
        return found.by_key.get(found.read_id(entry.image_id)) or _by_text(entry, images)

    def is_person(given: object) -> bool:
        if given is None or category or listed.fault:
            return given is None or as_id(given) == person
        return bool(listed.is_person(given))

    return find, is_person, list(found.notes)


def _by_name(entry: Detection, images: GivenImages) -> ImageBoxes | None:
    named = _by_text(entry, images)
    number = as_integer(entry.image_id)
    return images.with_number(number) if named is None and number is not None else named


def _by_text(entry: Detection, images: GivenImages) -> ImageBoxes | None:
    names = (name for name in (entry.file_name, entry.image_id) if isinstance(name, str) and name.strip())
    return next((image for name in names if (image := images.find(name)) is not None), None)


def _counted(others: Counter[str]) -> str:
    named = ", ".join(f"category {name} ({count})" for name, count in others.most_common(_NUM_NAMED))
    return named + (", ..." if len(others) > _NUM_NAMED else "")
