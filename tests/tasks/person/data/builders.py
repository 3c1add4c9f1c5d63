"""Small datasets written to disk for the tests: gradients with rectangular people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from engine.tasks.person.config import ModelConfig, PersonDataConfig, SyntheticConfig

SMALL_MODEL = ModelConfig(roi_size=16, mask_size=16)


def gradient(width: int, height: int, shift: int = 0) -> Image.Image:
    """An RGB image without two equal pixels side by side; another one for each `shift`."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack(
        [x * 255 // max(width - 1, 1), y * 255 // max(height - 1, 1), (x * 3 + y * 5 + shift) % 256], axis=-1
    )
    return Image.fromarray(pixels.astype(np.uint8))


def rectangle(left: float, top: float, right: float, bottom: float) -> list[float]:
    """A polygon around a box."""
    return [left, top, right, top, right, bottom, left, bottom]


def person(number: int, image: object, box: tuple[float, float, float, float], **fields: Any) -> dict[str, Any]:
    """A COCO annotation of a person whose outline is its box (left, top, right, bottom)."""
    left, top, right, bottom = box
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [left, top, right - left, bottom - top],
        "segmentation": [rectangle(*box)],
        **fields,
    }


def document(images: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> dict[str, Any]:
    """A COCO document with the categories person and dog."""
    categories = [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def image_entry(number: int, name: str, width: int = 60, height: int = 50) -> dict[str, Any]:
    """An entry of a COCO document's image list."""
    return {"id": number, "file_name": name, "width": width, "height": height}


def write_coco(root: Path, *, num_train: int = 3, num_val: int = 2) -> Path:
    """A person subset: images of 60 x 50 pixels, each with two overlapping people of 25 x 40."""
    folder = root / "images"
    folder.mkdir(parents=True)
    for split, count, first in (("train", num_train, 1), ("val", num_val, 101)):
        numbers = range(first, first + count)
        for number in numbers:
            gradient(60, 50, number).save(folder / f"{number}.png")
        entries = [image_entry(number, f"{number}.png") for number in numbers]
        people = [person(n * 10, n, (5, 5, 30, 45)) for n in numbers] + [
            person(n * 10 + 1, n, (22, 5, 47, 45)) for n in numbers
        ]
        write_annotations(root, split, document(entries, people))
    return root


def write_annotations(root: Path, split: str, content: object) -> Path:
    """The annotation file of one split."""
    file = root / f"instances_{split}.json"
    file.write_text(json.dumps(content))
    return file


def read_annotations(root: Path, split: str) -> dict[str, Any]:
    """The document of one split, to be changed and written again."""
    return json.loads((root / f"instances_{split}.json").read_text())


def write_mask_folders(root: Path, count: int = 5) -> Path:
    """The Penn-Fudan layout: images of 60 x 50 pixels with two people of 20 x 30 each."""
    for folder in ("PNGImages", "PedMasks"):
        (root / folder).mkdir(parents=True)
    for number in range(count):
        gradient(60, 50, 40 * number).save(root / "PNGImages" / f"Ped{number:05d}.png")
        ids = np.zeros((50, 60), dtype=np.uint8)
        ids[10:40, 5:25], ids[15:45, 30:50] = 1, 2
        Image.fromarray(ids).save(root / "PedMasks" / f"Ped{number:05d}_mask.png")
    return root


def data_config(path: Path | str = "", **fields: Any) -> PersonDataConfig:
    """Return a data configuration; without a path, of a few small synthetic scenes."""
    few = SyntheticConfig(num_train_scenes=6, num_val_scenes=3, image_size=96, max_people=3)
    return PersonDataConfig(path=str(path), **{"synthetic": few, **fields})
