"""Read COCO instance annotations: the people of a JSON file and its images, as scenes."""

from __future__ import annotations

import gc
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from engine.protocol.record import record
from engine.task import Doubt, Rejection, UnusableSample
from engine.tasks.person.data.readers.coco.boxes import cut_box
from engine.tasks.person.data.readers.coco.categories import PersonCategory
from engine.tasks.person.data.readers.coco.document import (
    AnnotationHead,
    CocoDocument,
    ImageEntry,
    load_document,
    read_body,
    read_head,
)
from engine.tasks.person.data.readers.coco.outlines import outline_bounds
from engine.tasks.person.data.readers.coco.people import CocoScene, PeopleCount, PeopleReader
from engine.tasks.person.data.readers.coco.values import alike_ids, as_flag, as_id, as_integer, id_reader, shown
from engine.tasks.person.data.readers.image_lookup import ImageFinder
from engine.tasks.person.data.readers.pixels import Size, stored_size
from engine.tasks.person.data.readers.scenes import SplitIndex

MAX_SIDE: Final = 100_000
MAX_PIXELS: Final = 2**31
"""Maximum pixels of an image (pycocotools counts to 2**32). Beyond it, the size of the image file is used."""

_MANY_CROWDS: Final = 0.25
"""Share of crowds among the people from which they may be single people. COCO has 0.04."""

_SAY_EVERY: Final = 0.5
_MAX_NAME: Final = 300

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
    reading = _CocoReading(json_file.name, finder, options)
    with _without_collections():
        images = reading.list_images(document)
        reading.group_people(document, images)
        return reading.index(document, images)


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
class _Images:
    """The usable image entries by id, and the comparison of ids."""

    read_id: Callable[[object], Hashable]
    by_id: Mapping[Hashable, ImageEntry]
    repeated: frozenset[Hashable]
    by_name: Mapping[str, Hashable]

    def key_of(self, image_id: object) -> Hashable:
        """Return the key of an annotation's image. The annotation may give the file name instead of the id."""
        key = self.read_id(image_id)
        if key in self.by_id or not isinstance(image_id, str):
            return key
        return self.by_name.get(image_id, key)


@dataclass(slots=True)
class _CocoReading:
    """One pass over a document: people by image, then scenes, with the problems found."""

    json_name: str
    finder: ImageFinder
    options: CocoOptions
    problems: list[Rejection] = field(default_factory=list[Rejection])
    odd_heads: PeopleCount = field(default_factory=PeopleCount)
    odd_sizes: PeopleCount = field(default_factory=PeopleCount)
    num_crowds: int = 0
    head_doubts: list[Doubt] = field(default_factory=list[Doubt])
    people: dict[Hashable, list[object]] = field(default_factory=lambda: defaultdict(list))

    def list_images(self, document: CocoDocument) -> _Images:
        """Return the images by id, without those whose id is missing or repeated."""
        read_id = id_reader(entry.id for entry in document.images)
        entries: dict[Hashable, list[ImageEntry]] = defaultdict(list)
        for entry in document.images:
            entries[read_id(entry.id)].append(entry)
        for entry in entries.pop(None, []):
            self.odd_heads.add(self.json_name, f"image {_name(entry)}", f"has an invalid id: {shown(entry.id)}")
        repeated = {key: same for key, same in entries.items() if len({_name(entry) for entry in same}) > 1}
        for same in repeated.values():
            names = ", ".join(dict.fromkeys(_name(entry) for entry in same[:4]))
            text = f"image id {shown(same[0].id)} is repeated, {len(same)} images have it ({names})"
            self._reject(f"{text}: their people cannot be told apart and are left out")
        alike = None if read_id is as_id else alike_ids(entry.id for entry in document.images)
        if alike:
            text = f"image ids that differ only in their form, such as {alike[0]!r} and {alike[1]!r}"
            self.head_doubts.append(Doubt(self.json_name, f"{text}, are read as different images: check whose people"))
        by_id = {key: same[0] for key, same in entries.items() if key not in repeated}
        by_name = {entry.name: key for key, entry in by_id.items() if entry.name}
        return _Images(read_id, by_id, frozenset(repeated), by_name)

    def group_people(self, document: CocoDocument, images: _Images) -> None:
        """Group the person annotations by image id, without crowds."""
        category = PersonCategory(document.categories)
        if category.fault:
            self._reject(category.fault)
        num_people = 0
        for place, entry in enumerate(document.annotations, 1):
            head = read_head(entry)
            if head is None:
                self.odd_heads.add(self.json_name, f"entry {place} of the annotations", "is not an object")
                continue
            if not self._is_person(head, category):
                continue
            num_people += 1
            is_crowd = as_flag(head.crowd)
            if is_crowd is None:
                self._count_odd(head, f"has an iscrowd that is neither 0 nor 1: {shown(head.crowd)}")
            elif is_crowd and not self.options.use_crowds:
                self.num_crowds += 1
            else:
                self.people[images.key_of(head.image_id)].append(entry)
        self._note_others(category, num_people)
        if self.num_crowds > _MANY_CROWDS * num_people:
            count = f"all {num_people}" if self.num_crowds == num_people else f"{self.num_crowds} of {num_people}"
            text = (
                f"{count} person annotations are crowds (iscrowd=1), which are left out; CVAT exports masks "
                "of single people so: to use them as people, set data.use_crowds=true (data inspect --use-crowds)"
            )
            if self.num_crowds == num_people:
                self._reject(text)
            else:
                self.head_doubts.append(Doubt(self.json_name, text))

    def _note_others(self, category: PersonCategory, num_people: int) -> None:
        """Report annotations of other categories, if they are all there is or may be people too."""
        if category.ambiguity:
            text = f"{category.ambiguity}: all {num_people} annotations with it are read as people"
            self.head_doubts.append(Doubt(self.json_name, text))
        if unread := category.unread_people:
            self.head_doubts.append(Doubt(self.json_name, unread))
        elif not num_people and not category.fault and category.others:
            self._reject(f"no annotation is of the category 'person', only of: {category.others}")

    def index(self, document: CocoDocument, images: _Images) -> SplitIndex:
        """Return the scenes of all images with people, and the list of problems."""
        reader = PeopleReader(self.json_name)
        claimed = [key for key in images.by_id if key in self.people]
        sample = [images.by_id[key] for key in claimed[:: max(1, len(claimed) // 100)]]
        self.finder.prefer([entry.name for entry in sample if entry.name])
        scenes: list[CocoScene] = []
        for key in self._told(claimed):
            scene = self._scene(images.by_id[key], self.people.pop(key), reader)
            if scene is not None:
                scenes.append(scene)
        if reader.common_convention():
            scenes = [_with_bounds(scene) for scene in scenes]
        self._count_orphans(images, claimed)
        faults = (tally.rejections(self.json_name) for tally in (reader.faults, self.odd_heads))
        problems = (*self.problems, *(rejection for part in faults for rejection in part))
        doubts = (*self.head_doubts, *reader.doubts(), *self._doubt_sizes())
        return SplitIndex(tuple(scenes), problems, len(document.images), self.num_crowds, doubts)

    def _is_person(self, head: AnnotationHead, category: PersonCategory) -> bool:
        is_person = category.is_person(head.category_id)
        if is_person is None:
            self._count_odd(head, f"has a category id that is not listed: {shown(head.category_id)}")
        return bool(is_person)

    def _scene(self, entry: ImageEntry, annotations: Sequence[object], reader: PeopleReader) -> CocoScene | None:
        """Return the scene of an image entry, or `None` if it is unusable."""
        if entry.name is None:
            self._reject(f"image {shown(entry.id)} has no file name")
            return None
        name = _name(entry)
        try:
            file = self.finder.find(entry.name)
            size = self._size(entry, file, name)
        except UnusableSample as error:
            self.problems.append(Rejection(name, str(error)))
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

    def _count_orphans(self, images: _Images, claimed: Sequence[Hashable]) -> None:
        """Report annotations without a listed image."""
        keys = [key for key in self.people if key not in images.repeated]
        orphans = [entry for key in keys for entry in self.people[key]]
        head = read_head(orphans[0]) if orphans else None
        if head is None:
            return
        first = f"the first is annotation {shown(head.id)} of image {shown(head.image_id)}"
        self._reject(f"{len(orphans)} annotations belong to images that are not listed; {first}")
        numbers = [key for key in images.by_id if isinstance(key, int)]
        ends: dict[Hashable, int] = {}
        if numbers:
            ends = {min(numbers) - 1: max(numbers), max(numbers) + 1: min(numbers)}
        if len(keys) == 1 and keys[0] in ends and ends[keys[0]] not in claimed:
            text = (
                f"the image ids of annotations include {shown(head.image_id)} but not {ends[keys[0]]}: they may be "
                "shifted by one, and each person belong to another image"
            )
            self.head_doubts.append(Doubt(self.json_name, text))

    def _doubt_sizes(self) -> Iterator[Doubt]:
        count = sum(self.odd_sizes.counts.values())
        if count:
            first = next(iter(self.odd_sizes.first.values()))[0]
            text = f"{count} images have a width or height that is no number of pixels, the files' own are used"
            yield Doubt(self.json_name, f"{text}; the first is {first.file} with {first.what}")

    def _count_odd(self, head: AnnotationHead, what: str) -> None:
        self.odd_heads.add(self.json_name, f"annotation {shown(head.id)}", what)

    def _told(self, claimed: Sequence[Hashable]) -> Iterator[Hashable]:
        """Yield the image ids in order, and report progress from time to time."""
        said = time.monotonic()
        for number, key in enumerate(claimed):
            now = time.monotonic()
            if now - said >= _SAY_EVERY:
                said = now
                self.options.say(f"reading {self.json_name}: {number} of {len(claimed)} images with people")
            yield key

    def _reject(self, error: str) -> None:
        self.problems.append(Rejection(self.json_name, error))


def _name(entry: ImageEntry) -> str:
    """Return the file's name for problems and samples, in characters that every terminal and file accepts."""
    name = (entry.name or "without a name").encode("utf-8", "backslashreplace").decode()
    return name if len(name) <= _MAX_NAME else f"{name[:_MAX_NAME]}..."


def _with_bounds(scene: CocoScene) -> CocoScene:
    """Return the scene with the bounds of the outlines as boxes."""
    size = scene.size
    people = (replace(person, box=cut_box(outline_bounds(person.outline, size), size)) for person in scene.people)
    return replace(scene, people=tuple(people))
