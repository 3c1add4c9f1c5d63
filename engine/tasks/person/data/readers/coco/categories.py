"""Find the category ids of a COCO file that mean a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Final, cast

from engine.tasks.person.data.readers.coco.document import Category
from engine.tasks.person.data.readers.coco.values import id_reader, shown

_LIKE_PEOPLE: Final = frozenset(
    (
        "people",
        "persons",
        "pedestrian",
        "pedestrians",
        "human",
        "humans",
        "man",
        "woman",
        "child",
        "boy",
        "girl",
        "rider",
    )
)


class PersonCategory:
    """The categories named person, with any id. Annotations may refer to a category by id or name."""

    def __init__(self, categories: Sequence[Category]) -> None:
        self._read = id_reader(category.id for category in categories)
        self._is_person: dict[Hashable, bool] = {}
        self._name_of = {self._read(category.id): shown(category.name) for category in categories}
        self._others: Counter[str] = Counter()
        self.ambiguity = _ambiguity(categories, self._read)
        self._names = sorted({shown(category.name) for category in categories})
        for category in categories:
            identity = self._read(category.id)
            if identity is not None:
                self._is_person[identity] = self._is_person.get(identity, False) or _means_person(category)
        for category in categories:
            if isinstance(category.name, str):
                self._is_person.setdefault(self._read(category.name), _means_person(category))

    @property
    def fault(self) -> str:
        """Problem of the list of categories; an empty string if it has a person."""
        if any(self._is_person.values()):
            return ""
        names = ", ".join(self._names[:8]) or "none"
        return f"there is no category 'person', only: {names}; rename the category of the people to it"

    def is_person(self, category_id: object) -> bool | None:
        """Return whether an annotation is of a person; `None` if its category is not listed. Others are counted."""
        key = self._read(category_id)
        is_person = self._is_person.get(key)
        if is_person is False:
            self._others[self._name_of.get(key, shown(category_id))] += 1
        return is_person

    @property
    def others(self) -> str:
        """The most frequent other categories so far, such as `dog (8), cat (2)`."""
        return ", ".join(f"{name} ({count})" for name, count in self._others.most_common(8))

    @property
    def unread_people(self) -> str:
        """Doubt about counted annotations of people under another name; an empty string if there are none."""
        found = [(name, count) for name, count in self._others.items() if name.strip().lower() in _LIKE_PEOPLE]
        if not found or not any(self._is_person.values()):
            return ""
        names = ", ".join(name for name, _ in found)
        count = sum(count for _, count in found)
        return f"{count} annotations of other people ({names}) are not read: rename their category to person"


def _ambiguity(categories: Sequence[Category], read_id: Callable[[object], Hashable]) -> str:
    """Return the sentence about an id that person shares with another category; an empty string if there is none."""
    by_id: dict[Hashable, list[Category]] = {}
    for category in categories:
        by_id.setdefault(read_id(category.id), []).append(category)
    by_id.pop(None, None)
    for same in by_id.values():
        others = [category for category in same if not _means_person(category)]
        if others and len(others) < len(same):
            return f"category id {shown(same[0].id)} is both {shown(others[0].name)} and person"
    return ""


def _means_person(category: Category) -> bool:
    """Return whether the category is named person, or LVIS lists that as a synonym."""
    synonyms = cast(list[object], category.synonyms) if isinstance(category.synonyms, list) else []
    return any(str(name).strip().lower() == "person" for name in (category.name, *synonyms))
