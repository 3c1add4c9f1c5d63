"""Find the category ids of a COCO file that mean a person."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import cast

from engine.tasks.person.data.readers.coco.document import Category
from engine.tasks.person.data.readers.coco.values import id_reader, shown


class PersonCategory:
    """The categories named person, with any id. Annotations may refer to a category by id or name."""

    def __init__(self, categories: Sequence[Category]) -> None:
        self._read = id_reader(category.id for category in categories)
        self._is_person: dict[Hashable, bool] = {}
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
        """Return whether an annotation is of a person; `None` if its category is not listed."""
        return self._is_person.get(self._read(category_id))


def _means_person(category: Category) -> bool:
    """Return whether the category is named person, or LVIS lists that as a synonym."""
    synonyms = cast(list[object], category.synonyms) if isinstance(category.synonyms, list) else []
    return any(str(name).strip().lower() == "person" for name in (category.name, *synonyms))
