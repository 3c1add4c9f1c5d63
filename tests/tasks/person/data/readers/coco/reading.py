"""Read small COCO files that the tests write, and what is found in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from engine.tasks.person.data.readers.coco.reader import CocoOptions, index_coco
from engine.tasks.person.data.readers.image_lookup import ImageFinder
from engine.tasks.person.data.readers.scenes import SplitIndex
from tests.tasks.person.data.builders import document, gradient, image_entry, person

BOX = (5, 5, 30, 45)
RECTANGLE = [5, 5, 30, 5, 30, 45, 5, 45]
HUGE = int("9" * 400)


def read(root: Path, content: dict[str, Any] | str | bytes, options: CocoOptions | None = None) -> SplitIndex:
    for name in ("a.png", "b.png", "c.png"):
        if not (root / name).exists():
            gradient(60, 50).save(root / name)
    file = root / "instances_train.json"
    text = json.dumps(content) if isinstance(content, dict) else content
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return index_coco(file, ImageFinder(root, [root]), options or CocoOptions())


def two_images(**fields: Any) -> dict[str, Any]:
    """Return two images with one person each; `fields` overwrite both annotations."""
    images = [image_entry(1, "a.png"), image_entry(2, "b.png")]
    return document(images, [person(n, n, BOX, **fields) for n in (1, 2)])


def errors(split: SplitIndex) -> list[str]:
    return [problem.error for problem in split.problems]


def masks(split: SplitIndex) -> list[int]:
    return [int(person.mask_HW.sum()) for scene in split.scenes for person in scene.read().people]


def run_lengths() -> tuple[list[int], str]:
    """The rectangle's run lengths as a list and as COCO's compressed text."""
    mask = np.zeros((50, 60), dtype=np.uint8)
    mask[5:45, 5:30] = 1
    flat = mask.reshape(-1, order="F")
    edges = (np.flatnonzero(np.diff(flat)) + 1).tolist()
    counts = [stop - start for start, stop in zip([0, *edges], [*edges, flat.size], strict=True)]
    return counts, coco_mask.encode(np.asfortranarray(mask))["counts"].decode("ascii")


COUNTS, PACKED = run_lengths()
