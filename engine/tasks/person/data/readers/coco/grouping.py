"""Group the person annotations of a COCO file by image, and report what is wrong with ids and categories."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from engine.task import Doubt, Rejection
from engine.tasks.person.data.readers.coco.categories import PersonCategory
from engine.tasks.person.data.readers.coco.document import AnnotationHead, CocoDocument, ImageEntry, read_head
from engine.tasks.person.data.readers.coco.findings import PeopleCount
from engine.tasks.person.data.readers.coco.values import alike_ids, as_flag, as_id, id_reader, shown

_MANY_CROWDS: Final = 0.25
"""Share of crowds among the people from which they may be single people. COCO has 0.04."""

_MAX_NAME: Final = 300


@dataclass(slots=True)
class ImageList:
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
class Grouping:
    """The person annotations of a file by image, and the problems found; crowds are people with `use_crowds`."""

    json_name: str
    use_crowds: bool
    problems: list[Rejection] = field(default_factory=list[Rejection])
    odd_heads: PeopleCount = field(default_factory=PeopleCount)
    num_crowds: int = 0
    doubts: list[Doubt] = field(default_factory=list[Doubt])
    people: dict[Hashable, list[object]] = field(default_factory=lambda: defaultdict(list))

    def list_images(self, document: CocoDocument) -> ImageList:
        """Return the images by id, without those whose id is missing or repeated."""
        read_id = id_reader(entry.id for entry in document.images)
        entries: dict[Hashable, list[ImageEntry]] = defaultdict(list)
        for entry in document.images:
            entries[read_id(entry.id)].append(entry)
        for entry in entries.pop(None, []):
            self.odd_heads.add(self.json_name, f"image {name_of(entry)}", f"has an invalid id: {shown(entry.id)}")
        repeated = {key: same for key, same in entries.items() if len({name_of(entry) for entry in same}) > 1}
        for same in repeated.values():
            names = ", ".join(dict.fromkeys(name_of(entry) for entry in same[:4]))
            text = f"image id {shown(same[0].id)} is repeated, {len(same)} images have it ({names})"
            self.reject(f"{text}: their people cannot be told apart and are left out")
        alike = None if read_id is as_id else alike_ids(entry.id for entry in document.images)
        if alike:
            text = f"image ids that differ only in their form, such as {alike[0]!r} and {alike[1]!r}"
            self.doubts.append(Doubt(self.json_name, f"{text}, are read as different images: check whose people"))
        by_id = {key: same[0] for key, same in entries.items() if key not in repeated}
        by_name = {entry.name: key for key, entry in by_id.items() if entry.name}
        return ImageList(read_id, by_id, frozenset(repeated), by_name)

    def group_people(self, document: CocoDocument, images: ImageList) -> None:
        """Group the person annotations by image id, without crowds."""
        category = PersonCategory(document.categories)
        if category.fault:
            self.reject(category.fault)
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
            elif is_crowd and not self.use_crowds:
                self.num_crowds += 1
            else:
                self.people[images.key_of(head.image_id)].append(entry)
        self._note_others(category, num_people)
        self._note_crowds(num_people)

    def _note_crowds(self, num_people: int) -> None:
        """Report crowds, if they are so many that they may be single people."""
        if self.num_crowds <= _MANY_CROWDS * num_people:
            return
        count = f"all {num_people}" if self.num_crowds == num_people else f"{self.num_crowds} of {num_people}"
        text = (
            f"{count} person annotations are crowds (iscrowd=1), which are left out; CVAT exports masks "
            "of single people so: to use them as people, set data.use_crowds=true (data inspect --use-crowds)"
        )
        if self.num_crowds == num_people:
            self.reject(text)
        else:
            self.doubts.append(Doubt(self.json_name, text))

    def _note_others(self, category: PersonCategory, num_people: int) -> None:
        """Report annotations of other categories, if they are all there is or may be people too."""
        if category.ambiguity:
            text = f"{category.ambiguity}: all {num_people} annotations with it are read as people"
            self.doubts.append(Doubt(self.json_name, text))
        if unread := category.unread_people:
            self.doubts.append(Doubt(self.json_name, unread))
        elif not num_people and not category.fault and category.others:
            self.reject(f"no annotation is of the category 'person', only of: {category.others}")

    def _is_person(self, head: AnnotationHead, category: PersonCategory) -> bool:
        is_person = category.is_person(head.category_id)
        if is_person is None:
            self._count_odd(head, f"has a category id that is not listed: {shown(head.category_id)}")
        return bool(is_person)

    def count_orphans(self, images: ImageList, claimed: Sequence[Hashable]) -> None:
        """Report annotations without a listed image."""
        keys = [key for key in self.people if key not in images.repeated]
        orphans = [entry for key in keys for entry in self.people[key]]
        head = read_head(orphans[0]) if orphans else None
        if head is None:
            return
        first = f"the first is annotation {shown(head.id)} of image {shown(head.image_id)}"
        self.reject(f"{len(orphans)} annotations belong to images that are not listed; {first}")
        numbers = [key for key in images.by_id if isinstance(key, int)]
        ends: dict[Hashable, int] = {}
        if numbers:
            ends = {min(numbers) - 1: max(numbers), max(numbers) + 1: min(numbers)}
        if len(keys) == 1 and keys[0] in ends and ends[keys[0]] not in claimed:
            text = (
                f"the image ids of annotations include {shown(head.image_id)} but not {ends[keys[0]]}: they may be "
                "shifted by one, and each person belong to another image"
            )
            self.doubts.append(Doubt(self.json_name, text))

    def _count_odd(self, head: AnnotationHead, what: str) -> None:
        self.odd_heads.add(self.json_name, f"annotation {shown(head.id)}", what)

    def reject(self, error: str) -> None:
        """Add a problem of the file."""
        self.problems.append(Rejection(self.json_name, error))


def name_of(entry: ImageEntry) -> str:
    """Return the file's name for problems and samples, in characters that every terminal and file accepts."""
    name = (entry.name or "without a name").encode("utf-8", "backslashreplace").decode()
    return name if len(name) <= _MAX_NAME else f"{name[:_MAX_NAME]}..."
