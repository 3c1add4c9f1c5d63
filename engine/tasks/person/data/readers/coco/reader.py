"""Read COCO instance annotations: the people of a JSON file and its images, as scenes."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from engine.protocol.record import record
from engine.task import Doubt, Rejection, UnusableSample
from engine.tasks.person.data.readers.coco.boxes import cut_box
from engine.tasks.person.data.readers.coco.document import (
    CocoDocument,
    ImageEntry,
    load_document,
    read_body,
)
from engine.tasks.person.data.readers.coco.findings import PeopleCount
from engine.tasks.person.data.readers.coco.grouping import Grouping, ImageList, name_of
from engine.tasks.person.data.readers.coco.outlines import outline_bounds
from engine.tasks.person.data.readers.coco.people import CocoScene, PeopleReader
from engine.tasks.person.data.readers.coco.values import as_integer, shown
from engine.tasks.person.data.readers.image_lookup import ImageFinder
from engine.tasks.person.data.readers.pixels import Size, stored_size
from engine.tasks.person.data.readers.scenes import SplitIndex

MAX_SIDE: Final = 100_000
MAX_PIXELS: Final = 2**31
"""Maximum pixels of an image (pycocotools counts to 2**32). Beyond it, the size of the image file is used."""

_SAY_EVERY: Final = 0.5
Say = Callable[[str], None]


def quiet(text: str) -> None:
    """Ignore a progress line."""


@record
class CocoOptions:
    """Options for annotation files: whether crowds are people; `say` receives progress lines."""

    use_crowds: bool = False
    say: Say = quiet


def index_coco(json_file: Path, finder: ImageFinder, options: CocoOptions) -> SplitIndex:
    """Return the people of a COCO JSON file, in the order of its images.

    Unusable data are listed as problems by image file, and nothing is raised.
    """
    try:
        options.say(f"reading {json_file.name} ({json_file.stat().st_size / 1e6:.1f} MB)")
        document = load_document(json_file)
    except OSError as error:
        return SplitIndex((), (Rejection(json_file.name, f"the file cannot be read: {error.strerror}"),))
    except UnusableSample as error:
        return SplitIndex((), (Rejection(json_file.name, str(error)),))
    heads = Grouping(json_file.name, use_crowds=options.use_crowds)
    with _without_collections():
        images = heads.list_images(document)
        heads.group_people(document, images)
        return _CocoReading(heads, finder, options.say).index(document, images)


@contextmanager
def _without_collections() -> Generator[None]:
    """Keep the garbage collector off: there are no cycles here, and collections take a quarter of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@dataclass(slots=True)
class _CocoReading:
    """One pass over grouped annotations: they become scenes, with the problems found."""

    heads: Grouping
    finder: ImageFinder
    say: Say
    odd_sizes: PeopleCount = field(default_factory=PeopleCount)

    def index(self, document: CocoDocument, images: ImageList) -> SplitIndex:
        """Return the scenes of all images with people, and the list of problems."""
        reader = PeopleReader()
        claimed = [key for key in images.by_id if key in self.heads.people]
        sample = [images.by_id[key] for key in claimed[:: max(1, len(claimed) // 100)]]
        self.finder.prefer([entry.name for entry in sample if entry.name])
        found = (self._scene(images.by_id[key], self.heads.people.pop(key), reader) for key in self._told(claimed))
        scenes = [scene for scene in found if scene is not None]
        if reader.deviations.common_convention():
            scenes = [_with_bounds(scene) for scene in scenes]
        self.heads.count_orphans(images, claimed)
        faults = (tally.rejections(self.heads.json_name) for tally in (reader.faults, self.heads.odd_heads))
        problems = (*self.heads.problems, *(rejection for part in faults for rejection in part))
        deviations = (Doubt(self.heads.json_name, text) for text in reader.deviations.doubts())
        doubts = (*self.heads.doubts, *deviations, *self._doubt_sizes())
        return SplitIndex(tuple(scenes), problems, len(document.images), self.heads.num_crowds, doubts)

    def _scene(self, entry: ImageEntry, annotations: Sequence[object], reader: PeopleReader) -> CocoScene | None:
        """Return the scene of an image entry, or `None` if it is unusable."""
        if entry.name is None:
            self.heads.reject(f"image {shown(entry.id)} has no file name")
            return None
        name = name_of(entry)
        try:
            file = self.finder.find(entry.name)
            size = self._size(entry, file, name)
        except UnusableSample as error:
            self.heads.problems.append(Rejection(name, str(error)))
            return None
        people = [reader.read(read_body(annotation), name, size) for annotation in annotations]
        kept = tuple(person for person in people if person is not None)
        return CocoScene(file, name, size, kept) if kept else None

    def _size(self, entry: ImageEntry, file: Path, name: str) -> Size:
        width, height = as_integer(entry.width), as_integer(entry.height)
        if width and height and 0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and width * height <= MAX_PIXELS:
            return width, height
        if entry.width is not None or entry.height is not None:
            given = f"{shown(entry.width)} x {shown(entry.height)}"
            self.odd_sizes.add(name, "", given)
        return stored_size(file)

    def _doubt_sizes(self) -> Iterator[Doubt]:
        count = sum(self.odd_sizes.counts.values())
        if count:
            first = next(iter(self.odd_sizes.first.values()))[0]
            text = f"{count} images have a width or height that is no number of pixels, the files' own are used"
            yield Doubt(self.heads.json_name, f"{text}; the first is {first.file} with {first.what}")

    def _told(self, claimed: Sequence[Hashable]) -> Iterator[Hashable]:
        """Yield the image ids in order, and report progress from time to time."""
        said = time.monotonic()
        for number, key in enumerate(claimed):
            now = time.monotonic()
            if now - said >= _SAY_EVERY:
                said = now
                self.say(f"reading {self.heads.json_name}: {number} of {len(claimed)} images with people")
            yield key


def _with_bounds(scene: CocoScene) -> CocoScene:
    """Return the scene with the bounds of the outlines as boxes."""
    size = scene.size
    people = (replace(person, box=cut_box(outline_bounds(person.outline, size), size)) for person in scene.people)
    return replace(scene, people=tuple(people))
