"""Collect the images of a prediction with their boxes, from all sources, before the network is used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from engine.errors import UserError
from engine.outputs.inference.prediction import GivenBoxes
from engine.protocol.record import record
from engine.task import UnusableSample
from engine.tasks.person.data.readers.coco.boxes import corners
from engine.tasks.person.data.readers.coco.document import load_entries
from engine.tasks.person.inference.boxes.annotations import read_annotated
from engine.tasks.person.inference.boxes.detections import read_detections
from engine.tasks.person.inference.boxes.given_images import GivenImages, ImageBoxes, NamedBox
from engine.tasks.person.inference.boxes.table import read_table

NO_BOXES: Final = (
    "this network refines given boxes: add --boxes FILE (COCO annotations, a detector's COCO results, or CSV), "
    "or --box x,y,w,h"
)


@record
class Plan:
    """The images that have boxes or faults of boxes, and sentences on what is left out."""

    images: tuple[ImageBoxes, ...]
    notes: tuple[str, ...]


def plan_images(places: Sequence[Path], given: GivenBoxes) -> Plan:
    """Return the images with their boxes.

    Raises UserError if an image does not exist, the file of boxes cannot be read, or no image has a box.
    """
    if given.file is None and not given.for_all:
        raise UserError(NO_BOXES)
    images = GivenImages(places)
    notes = _read_file(given.file, given, images) if given.file is not None else ()
    for number, values in enumerate(given.for_all, start=1):
        for image in images.images:
            image.boxes.append(NamedBox(corners(values), None, f"--box {number}"))
    used = tuple(image for image in images.images if image.boxes or image.faults)
    empty = [image.name for image in images.images if not image.boxes and not image.faults]
    if not used:
        raise UserError(_none_found(given, images, notes))
    _number(used)
    if empty:
        notes = (*notes, f"images without a box: {len(empty)} of {len(images.images)}, the first is {empty[0]}")
    return Plan(used, notes)


def _read_file(file: Path, given: GivenBoxes, images: GivenImages) -> tuple[str, ...]:
    """Add the boxes of a file to the images, and return sentences on the rest. Raises UserError."""
    try:
        if file.suffix.lower() == ".csv":
            return read_table(file, images, given.min_score)
        entries = load_entries(file)
        if entries is None:
            return read_annotated(file, images, given.min_score)
        return read_detections(list(entries), images, given.image_list, given.category, given.min_score)
    except UnusableSample as error:
        raise UserError(f"the boxes in {file} cannot be read: {error}") from error
    except OSError as error:
        raise UserError(f"{error.filename or file} cannot be read: {error.strerror or error}") from error


def _none_found(given: GivenBoxes, images: GivenImages, notes: Sequence[str]) -> str:
    why = f": {'; '.join(notes)}" if notes else ""
    return f"{given.file} has no box for any of the given images, the first is {images.images[0].name}{why}"


def _number(images: Sequence[ImageBoxes]) -> None:
    """Give images without an id of the file of boxes a free number."""
    taken = {image.image_id for image in images}
    free = (number for number in range(1, 2 * len(images) + 1) if number not in taken)
    for image in [image for image in images if image.image_id is None]:
        image.image_id = next(free)
