"""Decode COCO files entry by entry. Unneeded entries stay JSON text, so that large files take little memory.

msgspec decodes strict JSON. Python's slower and more lenient parser reads other files and entries (NaN, huge numbers, a
byte order mark, UTF-16) to the same values.
"""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import msgspec

from engine.protocol.record import record
from engine.task import UnusableSample

LISTS: Final = ("images", "annotations", "categories")
_MAX_DIGITS: Final = 400
_GZIP: Final = b"\x1f\x8b"
_LFS: Final = b"version https://git-lfs"

T = TypeVar("T", bound=msgspec.Struct)
Content = TypeVar("Content")


class ImageEntry(msgspec.Struct):
    """The fields of an image entry that are read, of any type. The file's name has several possible keys."""

    id: Any = None
    file_name: Any = None
    filename: Any = None
    coco_url: Any = None
    path: Any = None
    flickr_url: Any = None
    url: Any = None
    width: Any = None
    height: Any = None

    @property
    def name(self) -> str | None:
        """The file's name or URL, or `None` if no field is text. A number is a name without a suffix."""
        fields = (self.file_name, self.filename, self.coco_url, self.path, self.flickr_url, self.url)
        names = (str(field) if type(field) is int else field for field in fields)
        return next((name for name in names if isinstance(name, str) and name.strip()), None)


class Category(msgspec.Struct):
    """A category; LVIS lists synonyms of its name."""

    id: Any = None
    name: Any = None
    synonyms: Any = None


class AnnotationHead(msgspec.Struct):
    """The fields that decide whether an annotation is needed. The mark of a crowd has several spellings."""

    id: Any = None
    image_id: Any = None
    category_id: Any = None
    iscrowd: Any = None
    is_crowd: Any = None
    isCrowd: Any = None

    @property
    def crowd(self) -> object:
        """The value of the first of the spellings that is there, or `None`."""
        return next((value for value in (self.iscrowd, self.is_crowd, self.isCrowd) if value is not None), None)


class AnnotationBody(msgspec.Struct):
    """The fields with the position and outline of the person."""

    id: Any = None
    bbox: Any = None
    segmentation: Any = None


class Detection(msgspec.Struct):
    """The fields of a detector's result, of any type. Some detectors give the file instead of the image's id."""

    id: Any = None
    image_id: Any = None
    file_name: Any = None
    category_id: Any = None
    bbox: Any = None
    score: Any = None


class PolygonBody(msgspec.Struct):
    """An annotation with a valid COCO box and polygons, checked by the decoder."""

    segmentation: list[list[float]]
    bbox: tuple[float, float, float, float]
    id: Any = None


_DECODERS: Final[dict[type, Any]] = {
    kind: msgspec.json.Decoder(kind)
    for kind in (ImageEntry, Category, AnnotationHead, AnnotationBody, Detection, PolygonBody)
}
_TOP: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENTRIES: Final = msgspec.json.Decoder(list[msgspec.Raw])


@record
class CocoDocument:
    """The three lists of a COCO file. Annotations stay undecoded until they are used."""

    images: Sequence[ImageEntry]
    categories: Sequence[Category]
    annotations: Sequence[object]


def load_document(json_file: Path) -> CocoDocument:
    """Return a COCO file without entries that are not objects.

    Raises UnusableSample if it is not COCO JSON, OSError if it cannot be read.
    """
    lists = _load(json_file, _split)
    if lists is None:
        raise UnusableSample(f"the file is not COCO JSON: it needs the lists {', '.join(LISTS[:-1])} and {LISTS[-1]}")
    images, annotations, categories = lists
    return CocoDocument(list(_read_all(images, ImageEntry)), list(_read_all(categories, Category)), annotations)


def load_images(json_file: Path) -> CocoDocument:
    """Return the images and categories of a COCO file, whose other lists may be missing.

    Raises UnusableSample if it lists no images, OSError if it cannot be read.
    """
    lists = _load(json_file, lambda data: _split(data, required=LISTS[:1]))
    if lists is None:
        raise UnusableSample(f"the file is not COCO JSON: it needs the list {LISTS[0]}")
    return CocoDocument(list(_read_all(lists[0], ImageEntry)), list(_read_all(lists[2], Category)), ())


def load_entries(json_file: Path) -> Sequence[object] | None:
    """Return the undecoded entries of a file that is one JSON list; `None` if it is something else.

    Raises UnusableSample if it is not JSON, OSError if it cannot be read.
    """
    return _load(json_file, _entries)


def _load(json_file: Path, read: Callable[[bytes], Content]) -> Content:
    """Return what `read` makes of a file. Raises UnusableSample if it is not JSON."""
    data = json_file.read_bytes()
    if data.startswith(_GZIP):
        raise UnusableSample("the file is compressed by gzip: unpack it")
    try:
        return read(data)
    except json.JSONDecodeError as error:
        raise UnusableSample(f"the file is not readable JSON: {error}{_likely_cause(data, error)}") from error
    except (ValueError, RecursionError) as error:
        raise UnusableSample(f"the file is not readable JSON: {error}") from error


def _likely_cause(data: bytes, error: json.JSONDecodeError) -> str:
    """Return the likely cause of a syntax error in brackets; an empty string if there is none."""
    start, before = error.doc.lstrip()[:1], error.doc[: error.pos].rstrip()
    if not error.doc.strip():
        cause = "it is empty"
    elif data.startswith(_LFS):
        cause = "it is a pointer of Git LFS: get the file with `git lfs pull`"
    elif start not in ("{", "["):
        cause = "it is no JSON at all" if start.isprintable() and start != "/" else ""
    elif error.msg == "Extra data":
        cause = "it may hold one JSON value per line: COCO is one object" if error.lineno > 1 else ""
    elif not error.doc[error.pos :].strip() or error.msg.startswith("Unterminated"):
        cause = "it ends in the middle: copy or export it again"
    elif before.endswith(",") and error.doc[error.pos] in "]}":
        cause = "a comma before a closing bracket: remove it"
    else:
        cause = ""
    return f" ({cause})" if cause else ""


def read_head(entry: object) -> AnnotationHead | None:
    """Return the head of an annotation, or `None` if the entry is not an object."""
    return _read(entry, AnnotationHead)


def read_detection(entry: object) -> Detection | None:
    """Return a detector's result, or `None` if the entry is not an object."""
    return _read(entry, Detection)


def read_body(entry: object) -> AnnotationBody | PolygonBody:
    """Return the position and outline of an annotation. The entry must have a head."""
    if isinstance(entry, msgspec.Raw):
        try:
            return cast(PolygonBody, _DECODERS[PolygonBody].decode(entry))
        except (ValueError, RecursionError):
            pass  # another form of outline
    return _read(entry, AnnotationBody) or AnnotationBody()


def _split(data: bytes, required: Sequence[str] = LISTS) -> list[list[Any]] | None:
    """Return the lists of a document, undecoded if msgspec accepts it; `None` if a required one is missing."""
    try:
        top: Mapping[str, Any] = _TOP.decode(data.removeprefix(codecs.BOM_UTF8))
        return [_ENTRIES.decode(top[key]) if key in top or key in required else [] for key in LISTS]
    except (ValueError, RecursionError, KeyError):
        document = _parse(data)
    if not isinstance(document, dict):
        return None
    found = cast(dict[str, Any], document)
    lists = [found.get(key, None if key in required else []) for key in LISTS]
    return cast(list[list[Any]], lists) if all(isinstance(part, list) for part in lists) else None


def _entries(data: bytes) -> list[Any] | None:
    """Return the entries of a list, undecoded if msgspec accepts it; `None` if the document is no list."""
    try:
        return _ENTRIES.decode(data.removeprefix(codecs.BOM_UTF8))
    except (ValueError, RecursionError):
        document = _parse(data)
    return cast(list[Any], document) if isinstance(document, list) else None


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
    """Return the entry by Python's parser. Bytes that are not UTF-8 become surrogates, as in file names."""
    try:
        return _parse(data.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return None


def _parse(data: bytes | str) -> object:
    return json.loads(data, parse_int=_integer)


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_DIGITS else math.copysign(math.inf, -1 if digits[0] == "-" else 1)
