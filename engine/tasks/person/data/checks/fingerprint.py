"""A short text that changes with the data of a split, so that a resume can say that they have changed."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.tasks.person.data.readers.coco.people import CocoScene
from engine.tasks.person.data.readers.masks.split_reading import MaskScene
from engine.tasks.person.data.readers.scenes import Scene

_NUM_SIZED: Final = 1_000
"""Maximum number of files whose sizes count."""

NUM_READ: Final = 64
"""Maximum number of files of which parts are read: on a slow disk each takes some milliseconds."""

_PART: Final = 4096
"""Bytes that are read at the begin, in the middle and at the end of a file."""

_FORM: Final = "2:"
"""Texts of another form are not comparable: journals of earlier versions have one without outlines."""

_NO_BOX: Final = (np.nan,) * 4


def fingerprint(scenes: Sequence[Scene]) -> str:
    """Return a text that changes with names, boxes and outlines, and with the sizes and parts of some of the files.

    Times of files do not count: a copy of the data has others.
    """
    digest = hashlib.sha256("\n".join(scene.name for scene in scenes).encode("utf-8", "surrogatepass"))
    boxes = [box or _NO_BOX for scene in scenes for box in scene.boxes]
    digest.update(np.fromiter(chain.from_iterable(boxes), np.float64).tobytes())
    digest.update(f"\n{_outlines(scenes)}\n".encode())
    files = [file for scene in scenes for file in _files(scene)]
    for file in files[:: 1 + len(files) // _NUM_SIZED]:
        with suppress(OSError):
            digest.update(f"{file.stat().st_size}\n".encode())
    for file in files[:: 1 + len(files) // NUM_READ]:
        with suppress(OSError):
            digest.update(_parts(file))
    return f"{_FORM}{digest.hexdigest()}"


def _outlines(scenes: Sequence[Scene]) -> int:
    """Return a checksum of all outlines that are in memory; a cryptographic one of 100 MB would delay the start."""
    outlines = [person.outline for scene in scenes if isinstance(scene, CocoScene) for person in scene.people]
    known = zlib.crc32(b"".join([outline.run_lengths for outline in outlines]))
    checksum: Any = zlib.crc32  # its stubs do not know that arrays are buffers
    for polygon in chain.from_iterable([outline.polygons for outline in outlines]):
        known = checksum(polygon, known)
    return known


def _files(scene: Scene) -> Iterator[Path]:
    if scene.file is not None:
        yield scene.file
    if isinstance(scene, MaskScene):
        yield scene.mask_file


def _parts(file: Path) -> bytes:
    """Return parts of a file. Only regular files are read: a pipe would wait for ever."""
    if not file.is_file():
        return b""
    size, parts = file.stat().st_size, list[bytes]()
    with file.open("rb") as opened:
        for start in (0, size // 2, max(size - _PART, 0)):
            opened.seek(start)
            parts.append(opened.read(_PART))
    return b"".join(parts)
