"""Decode COCO files entry by entry: what is not needed stays JSON text, so that large files take little memory.

msgspec decodes what is strictly JSON. A file or an entry that is not (NaN, numbers beyond any float, a byte order mark,
UTF-16) goes through Python's slower and more lenient parser, to the same values.
"""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import msgspec

from engine.task import UnusableSample

LISTS: Final = ("images", "annotations", "categories")
_MAX_DIGITS: Final = 400

T = TypeVar("T", bound=msgspec.Struct)


class ImageEntry(msgspec.Struct):
    """The fields of an image entry that are read, of any type; the file's name goes by several of them."""

    id: Any = None
    file_name: Any = None
    filename: Any = None
    coco_url: Any = None
    path: Any = None
    width: Any = None
    height: Any = None

    @property
    def name(self) -> str | None:
        """The file's name or address, or `None` where no field is text."""
        fields = (self.file_name, self.filename, self.coco_url, self.path)
        return next((field for field in fields if isinstance(field, str) and field.strip()), None)


class Category(msgspec.Struct):
    """A category; LVIS lists synonyms of its name."""

    id: Any = None
    name: Any = None
    synonyms: Any = None


class AnnotationHead(msgspec.Struct):
    """The fields that say whether an annotation is needed."""

    id: Any = None
    image_id: Any = None
    category_id: Any = None
    iscrowd: Any = None


class AnnotationBody(msgspec.Struct):
    """The fields that say where the person is."""

    id: Any = None
    bbox: Any = None
    segmentation: Any = None


class PolygonBody(msgspec.Struct):
    """An annotation whose box and segmentation are what COCO asks for, numbers and polygons, checked by the decoder."""

    segmentation: list[list[float]]
    bbox: tuple[float, float, float, float]
    id: Any = None


_DECODERS: Final[dict[type, Any]] = {
    kind: msgspec.json.Decoder(kind) for kind in (ImageEntry, Category, AnnotationHead, AnnotationBody, PolygonBody)
}
_TOP: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENTRIES: Final = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(frozen=True, slots=True)
class CocoDocument:
    """The three lists of a COCO file; annotations stay undecoded until they are asked for."""

    images: Sequence[ImageEntry]
    categories: Sequence[Category]
    annotations: Sequence[object]


def load_document(json_file: Path) -> CocoDocument:
    """Read a COCO file; entries that are no objects are left out. Raises UnusableSample where it is none."""
    try:
        lists = _split(json_file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UnusableSample(f"the file is not readable JSON: {error}") from error
    if lists is None:
        raise UnusableSample(f"the file is not COCO JSON: it needs the lists {', '.join(LISTS[:-1])} and {LISTS[-1]}")
    images, annotations, categories = lists
    return CocoDocument(list(_read_all(images, ImageEntry)), list(_read_all(categories, Category)), annotations)


def read_head(entry: object) -> AnnotationHead | None:
    """Return the head of an annotation, or `None` where the entry is no object."""
    return _read(entry, AnnotationHead)


def read_body(entry: object) -> AnnotationBody | PolygonBody:
    """Return where the person of an annotation is; the entry must have a head."""
    if isinstance(entry, msgspec.Raw):
        try:
            return cast(PolygonBody, _DECODERS[PolygonBody].decode(entry))
        except (ValueError, RecursionError):
            pass  # another form of outline
    return _read(entry, AnnotationBody) or AnnotationBody()


def _split(data: bytes) -> list[list[Any]] | None:
    """The lists of a document, undecoded where msgspec takes it; `None` where they are not there."""
    try:
        top: Mapping[str, Any] = _TOP.decode(data.removeprefix(codecs.BOM_UTF8))
        return [_ENTRIES.decode(top[key]) for key in LISTS]
    except (ValueError, RecursionError, KeyError):
        document = _parse(data)
    if not isinstance(document, dict):
        return None
    lists = [cast(dict[str, Any], document).get(key) for key in LISTS]
    return cast(list[list[Any]], lists) if all(isinstance(part, list) for part in lists) else None


def _read_all(entries: Sequence[object], kind: type[T]) -> Iterator[T]:
    return (found for entry in entries if (found := _read(entry, kind)) is not None)


def _read(entry: object, kind: type[T]) -> T | None:
    if isinstance(entry, msgspec.Raw):
        try:
            return _DECODERS[kind].decode(entry)
        except (ValueError, RecursionError):
            entry = _parse_entry(bytes(entry))
    return msgspec.convert(entry, kind) if isinstance(entry, dict) else None


def _parse_entry(data: bytes) -> object:
    """The entry by Python's parser; bytes that are no UTF-8 become what file names have for them."""
    try:
        return _parse(data.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return None


def _parse(data: bytes | str) -> object:
    return json.loads(data, parse_int=_integer)


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_DIGITS else math.copysign(math.inf, -1 if digits[0] == "-" else 1)
