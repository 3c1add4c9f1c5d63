"""Recognise the formats of other tools that are not read, to say how to convert them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final, cast

from engine.tasks.person.data.readers.coco.values import shown
from engine.tasks.person.data.readers.image_files import IMAGE_SUFFIXES, is_junk

_NUM_FILES: Final = 2_000
"""Maximum number of files that are looked at."""

_NUM_READ: Final = 3
"""Number of files of each suffix that are opened."""

_HEAD: Final = 4096
_LARGEST: Final = 50_000_000


def describe_foreign(root: Path) -> str:
    """Return what the files seem to be and how to convert them; an empty string if they are not recognised."""
    files = list(islice(_walk(root), _NUM_FILES))
    candidates = (
        (file, recognise)
        for suffix, recognise in _KINDS.items()
        for file in [file for file in files if file.suffix.lower() == suffix][:_NUM_READ]
    )
    found = next(((file, kind) for file, recognise in candidates if (kind := recognise(file))), None)
    if found is not None:
        return f"{shown(str(found[0].relative_to(root)))} is {found[1]}"
    if not files:
        return "it holds no file"
    if any(file.suffix.lower() in IMAGE_SUFFIXES for file in files):
        return "it holds images, but no annotation file and no known folder of masks"
    return ""


def _json_kind(file: Path) -> str:
    try:
        content: object = json.loads(file.read_bytes()) if file.stat().st_size <= _LARGEST else None
    except (OSError, ValueError, RecursionError):
        return ""
    entries = cast(list[object], content) if isinstance(content, list) else []
    tasks = entries and isinstance(entries[0], dict) and "data" in entries[0]
    if tasks:
        return "an export of Label Studio in its own JSON: export it as COCO"
    keys = set(cast(dict[str, object], content)) if isinstance(content, dict) else set[str]()
    if {"shapes", "imagePath"} <= keys:
        return "an annotation of LabelMe: convert the files to COCO with labelme2coco"
    if {"objects", "size"} <= keys:
        return "an annotation of Supervisely: export the project as COCO"
    if "_via_img_metadata" in keys:
        return "a project of VIA: export its annotations as COCO"
    if {"item", "annotations"} <= keys:
        return "an annotation of Darwin (V7) or Datumaro: export it as COCO"
    return ""


def _xml_kind(file: Path) -> str:
    head = _head(file)
    if "<annotations" in head:
        return "an export of CVAT in its own XML: export it as COCO 1.0"
    if "<annotation" in head:
        return "an annotation of Pascal VOC, which has boxes only: export outlines as COCO, or give folders of masks"
    return ""


def _text_kind(file: Path) -> str:
    lines = _head(file).splitlines()
    numbers = lines[0].split() if lines else []
    try:
        values = [float(number) for number in numbers]
    except ValueError:
        return ""
    if len(values) == 5:
        return "a label of YOLO with boxes only: outlines are needed; export the data set as COCO with them"
    if len(values) > 6 and len(values) % 2 and max(values[1:]) <= 1:
        return "a label of YOLO segmentation: export or convert the data set to COCO"
    return ""


def _head(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return opened.read(_HEAD).decode("utf-8", "replace")
    except OSError:
        return ""


def _walk(root: Path) -> Iterator[Path]:
    """Yield the regular files below `root` in the order of their names."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not is_junk(name))
        yield from (file for name in sorted(files) if not is_junk(name) and (file := Path(folder, name)).is_file())


_KINDS: Final[dict[str, Callable[[Path], str]]] = {".json": _json_kind, ".xml": _xml_kind, ".txt": _text_kind}
