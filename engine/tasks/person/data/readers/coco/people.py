"""Read the person annotations of a COCO file, and count unusable ones by their reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from engine.protocol.record import record
from engine.task import UnusableSample
from engine.tasks.person.data.readers.coco.boxes import agrees, corners, cut_box, read_box
from engine.tasks.person.data.readers.coco.document import AnnotationBody, PolygonBody
from engine.tasks.person.data.readers.coco.findings import Deviations, PeopleCount, place_of
from engine.tasks.person.data.readers.coco.outlines import (
    Outline,
    draw_outline,
    outline_bounds,
    parse_outline,
    polygon_outline,
)
from engine.tasks.person.data.readers.coco.values import shown
from engine.tasks.person.data.readers.pixels import Size, read_image
from engine.tasks.person.data.readers.scenes import Box, Picture, cut_mask

_LEAST_SIDE: Final = 8
"""Minimum side of an image to check for outlines in fractions of its size."""

_POINT: Final = 2
"""Number of values of a point: a list of points is one polygon, not several."""


@record
class CocoPerson:
    """One annotation that can be drawn; `box` is `None` if the person cannot be a target.

    `given` is the box as annotated, not clipped to the image, or `None`.
    """

    id: str
    box: Box | None
    outline: Outline
    given: Box | None


@record
class CocoScene:
    """One image file with its annotated people; `size` is the annotated (width, height)."""

    file: Path
    name: str
    size: Size
    people: tuple[CocoPerson, ...]

    @property
    def boxes(self) -> tuple[Box | None, ...]:
        """The annotated boxes, clipped to the image."""
        return tuple(person.box for person in self.people)

    def read(self) -> Picture:
        """Decode the image and draw every outline. Raises UnusableSample if the image is unusable."""
        image = read_image(self.file, self.size)
        masks = (cut_mask(draw_outline(p.outline, self.size), id=p.id, box=p.box) for p in self.people)
        return Picture(image, tuple(masks))


@dataclass(slots=True)
class PeopleReader:
    """Reads people one by one, and counts their faults and their deviations from COCO's format."""

    faults: PeopleCount = field(default_factory=PeopleCount)
    deviations: Deviations = field(default_factory=Deviations)

    def read(self, body: AnnotationBody | PolygonBody, name: str, size: Size) -> CocoPerson | None:
        """Return the person of an annotation on image `name`, or `None` without a usable outline."""
        try:
            outline, bounds = self._outline(body, name, size)
            self.deviations.note_extent(body, name, bounds, size)
            _check_bounds(bounds, size)
        except UnusableSample as error:
            self.faults.add(name, f"annotation {shown(body.id)}", str(error))
            return None
        values = body.bbox if isinstance(body, PolygonBody) else read_box(body.bbox)
        if values is None or values[2] <= 0 or values[3] <= 0:
            return self._person(body, name, cut_box(bounds, size), outline, None)
        given = corners(values)
        self.deviations.num_compared += 1
        is_certain = not agrees(given, bounds) and self.deviations.note_box(values, bounds, size, place_of(body, name))
        return self._person(body, name, cut_box(bounds if is_certain else given, size), outline, given)

    def _outline(self, body: AnnotationBody | PolygonBody, name: str, size: Size) -> tuple[Outline, Box]:
        if isinstance(body, PolygonBody) and body.segmentation and len(body.segmentation[0]) != _POINT:
            outline, bounds = polygon_outline(body.segmentation, size)
        else:
            outline = parse_outline(body.segmentation, size)
            bounds = outline_bounds(outline, size)
        self.deviations.note_form(body, name, outline)
        return outline, bounds

    def _person(
        self, body: AnnotationBody | PolygonBody, name: str, box: Box | None, outline: Outline, given: Box | None
    ) -> CocoPerson:
        identity = shown(body.id)
        if box is None:
            self.faults.add(name, f"annotation {identity}", "has a box outside the image")
        return CocoPerson(identity, box, outline, box if given == box else given)


def _check_bounds(bounds: Box, size: Size) -> None:
    """Check the bounds of an outline.

    Raises UnusableSample if it has no pixel, or is within the first pixel of a larger image.
    """
    if not (bounds[2] > bounds[0] and bounds[3] > bounds[1]):
        raise UnusableSample("has an outline without area")
    if min(bounds) >= 0 and max(bounds) <= 1 < min(size) / _LEAST_SIDE:
        raise UnusableSample("has an outline in fractions of the image's size (0 to 1), COCO's are in pixels")
