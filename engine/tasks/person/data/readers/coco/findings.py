"""Count the faults of annotations, and what in a file deviates from COCO's format."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, cast

from engine.protocol.record import record
from engine.task import Rejection
from engine.tasks.person.data.readers.coco.boxes import (
    EXCHANGED,
    LEFT_TO_RIGHT,
    TURNED,
    UPSIDE_DOWN,
    Four,
    is_exact,
    mirroring,
    other_convention,
)
from engine.tasks.person.data.readers.coco.document import AnnotationBody, PolygonBody
from engine.tasks.person.data.readers.coco.extent import Extent
from engine.tasks.person.data.readers.coco.outline_forms import BYTES_TEXT, is_python_text
from engine.tasks.person.data.readers.coco.outlines import Outline
from engine.tasks.person.data.readers.coco.values import shown
from engine.tasks.person.data.readers.pixels import Size
from engine.tasks.person.data.readers.scenes import Box

_NUMBER: Final = re.compile(r"\d+(\.\d+)?")
_BEYOND: Final = 0.1
"""Fraction of the image's side by which an outline may extend beyond it."""

_MANY_BEYOND: Final = 0.02
"""Fraction of outlines beyond their image from which their coordinates are doubted."""

NUM_NAMED: Final = 3
"""Number of faults of one kind that are listed individually; more are summed up in one sentence."""
_MEND_X: Final = "x becomes the image's width - x, less the box's width in a box"
_MEND_Y: Final = "y becomes the image's height - y, less the box's height in a box"
_MIRRORED: Final = {
    UPSIDE_DOWN: ("y from the lower edge of the image", _MEND_Y),
    LEFT_TO_RIGHT: ("x from the right edge of the image", _MEND_X),
    TURNED: ("x and y from the lower right corner of the image", f"{_MEND_X}, and {_MEND_Y}"),
}
"""Origins other than COCO's by which boxes or outlines seem mirrored, and how numbers are corrected."""


@record
class Sighting:
    """One occurrence of a fault: the file, the place in it, and a description."""

    file: str
    place: str
    what: str


@dataclass(slots=True)
class PeopleCount:
    """Faults by kind: their number, and the first few of each."""

    counts: Counter[str] = field(default_factory=Counter[str])
    first: dict[str, list[Sighting]] = field(default_factory=dict[str, list[Sighting]])

    def add(self, file: str, place: str, what: str) -> None:
        """Count one fault. Faults that differ only in numbers are of one kind. `place` is such as `annotation 7`."""
        kind = _NUMBER.sub("0", what)
        self.counts[kind] += 1
        if self.counts[kind] <= NUM_NAMED:
            self.first.setdefault(kind, []).append(Sighting(file, place, what))

    def rejections(self, json_name: str) -> Iterator[Rejection]:
        """Yield each of a few faults of a kind, or one sentence with an example for many."""
        for kind, count in self.counts.items():
            first = self.first[kind][0]
            if count <= NUM_NAMED:
                yield from (Rejection(one.file, f"{one.place} {one.what}") for one in self.first[kind])
            else:
                example = f"the first, {first.place} of {first.file}, {first.what}"
                yield Rejection(json_name, f"{count} annotations have the same fault: {example}")


@dataclass(slots=True)
class Deviations:
    """Deviations of outlines and boxes from COCO's format, each with the places where it was seen."""

    bytes_texts: list[str] = field(default_factory=list[str])
    python_texts: list[str] = field(default_factory=list[str])
    unread_parts: list[str] = field(default_factory=list[str])
    conventions: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    mirrored: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    num_compared: int = 0
    extent: Extent = field(default_factory=Extent)
    beyond: list[str] = field(default_factory=list[str])

    def note_extent(self, body: AnnotationBody | PolygonBody, name: str, bounds: Box, size: Size) -> None:
        """Remember how far an outline extends."""
        self.extent.add(bounds, size)
        if _is_beyond(bounds, size):
            self.beyond.append(f"{place_of(body, name)}, an image of {size[0]} x {size[1]} pixels")

    def note_form(self, body: AnnotationBody | PolygonBody, name: str, outline: Outline) -> None:
        """Remember an outline in a form that is doubted."""
        if outline.num_unread:
            self.unread_parts.append(place_of(body, name))
        if isinstance(body, PolygonBody):
            return
        counts = cast(dict[str, Any], body.segmentation).get("counts") if isinstance(body.segmentation, dict) else None
        if isinstance(counts, str) and BYTES_TEXT.fullmatch(counts.strip()):
            self.bytes_texts.append(place_of(body, name))
        if is_python_text(body.segmentation):
            self.python_texts.append(place_of(body, name))

    def note_box(self, values: Four, bounds: Box, size: Size, place: str) -> bool:
        """Remember how a box deviates from its outline. Return whether its convention is certain."""
        convention = other_convention(values, bounds, size)
        is_certain = bool(convention) and is_exact(values, bounds, size, convention)
        if not is_certain and (mirrored := mirroring(values, bounds, size)):
            self.mirrored.setdefault(mirrored, []).append(place)
        elif convention:
            self.conventions.setdefault(convention, []).append(place)
        return is_certain

    def doubts(self) -> Iterator[str]:
        """Yield a sentence for each deviation from COCO's format that is to be doubted."""
        if self.bytes_texts:
            yield (
                f"{len(self.bytes_texts)} annotations have for counts the text of a Python bytes object (b'...'); "
                f"it is read as those bytes; the first is {self.bytes_texts[0]}"
            )
        if self.python_texts:
            yield (
                f"{len(self.python_texts)} annotations have for an outline the text of a Python object; it is read as "
                f"that object; the first is {self.python_texts[0]}"
            )
        if self.unread_parts:
            yield (
                f"{len(self.unread_parts)} outlines have parts that are not pairs of numbers and are left out: their "
                f"masks may lack a part of the person; the first is {self.unread_parts[0]}"
            )
        if small := self.extent.doubt():
            yield small
        if len(self.beyond) > _MANY_BEYOND * self.extent.num_outlines:
            yield (
                f"{len(self.beyond)} of {self.extent.num_outlines} outlines extend far beyond their image: their "
                f"coordinates may be of an image of another size; the first is {self.beyond[0]}"
            )
        for convention, places in self.conventions.items():
            exchanged = ", unless x and y of the outlines are exchanged" if convention in EXCHANGED else ""
            yield (
                f"{len(places)} of {self.num_compared} boxes are {convention}{exchanged}, COCO's are "
                f"[left, top, width, height]: the bounds of the outlines are used instead; the first is {places[0]}"
            )
        for mirrored, places in self.mirrored.items():
            origin, mend = _MIRRORED[mirrored]
            yield (
                f"{len(places)} of {self.num_compared} boxes match their outline only if they are {mirrored}: the "
                f"boxes or the outlines have {origin}, COCO's origin is the upper left corner. Both are used as they "
                f"are; data inspect DIR --pictures OUT shows which is wrong, and in those {mend}; the first is "
                f"{places[0]}"
            )

    def common_convention(self) -> str:
        """Return the convention other than COCO's of most boxes; an empty string if there is none."""
        most = max(self.conventions, key=lambda name: len(self.conventions[name]), default="")
        return most if most and 2 * len(self.conventions[most]) > self.num_compared else ""


def place_of(body: AnnotationBody | PolygonBody, name: str) -> str:
    """Return the place of an annotation for a sentence. Only doubted ones need it: a file may have a million."""
    return f"annotation {shown(body.id)} of {name}"


def _is_beyond(bounds: Box, size: Size) -> bool:
    """Return whether an outline extends beyond the image by more than a tenth of a side."""
    width, height = size
    across, down = _BEYOND * width, _BEYOND * height
    return bounds[0] < -across or bounds[1] < -down or bounds[2] > width + across or bounds[3] > height + down
