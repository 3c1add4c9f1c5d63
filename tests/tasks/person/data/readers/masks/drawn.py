"""Folders of images and masks for the tests, and what an index of them says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from engine.tasks.person.data.readers.index import DatasetIndex
from tests.tasks.person.data.builders import gradient

Ids = NDArray[np.generic]
Box = tuple[int, int, int, int]
PEOPLE: tuple[tuple[Box, ...], ...] = (
    ((4, 4, 24, 44), (34, 10, 54, 40)),
    ((6, 6, 30, 46), (40, 4, 58, 34)),
    ((12, 8, 36, 44),),
    ((2, 12, 20, 40), (28, 6, 50, 46)),
    ((20, 10, 44, 42),),
)


def ids_of(people: tuple[Box, ...], first: int = 1, step: int = 1) -> NDArray[np.uint16]:
    """A mask of 60 x 50 pixels with rectangles numbered from `first`."""
    ids = np.zeros((50, 60), dtype=np.uint16)
    for turn, (left, top, right, bottom) in enumerate(people):
        ids[top:bottom, left:right] = first + turn * step
    return ids


def write(root: Path, mask_of: Callable[[NDArray[np.uint16]], Image.Image | Ids], suffix: str = ".png") -> Path:
    """Five images, each with the mask that `mask_of` makes of its numbers."""
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for turn, people in enumerate(PEOPLE):
        gradient(60, 50).rotate(turn).save(root / "images" / f"img{turn}.jpg")
        mask = mask_of(ids_of(people))
        (mask if isinstance(mask, Image.Image) else Image.fromarray(mask)).save(root / "masks" / f"img{turn}{suffix}")
    return root


def found(index: DatasetIndex) -> dict[str, list[Box]]:
    """The boxes of every image, of both splits."""
    scenes = (*index.train.scenes, *index.val.scenes)
    return {scene.name: [tuple(int(edge) for edge in box) for box in scene.boxes if box] for scene in scenes}  # pyright: ignore[reportReturnType]


def expected() -> dict[str, list[Box]]:
    return {f"img{turn}.jpg": list(people) for turn, people in enumerate(PEOPLE)}


def palette(ids: NDArray[np.integer]) -> Image.Image:
    image = Image.fromarray(ids.astype(np.uint8)).convert("P")
    image.putdata(ids.reshape(-1).tolist())
    image.putpalette([value for number in range(256) for value in (number, 255 - number, 128)])
    return image


def ringed(ids: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """The numbers with a ring of 255 around each person, beyond its bounds."""
    grown = np.asarray(Image.fromarray(ids.astype(np.uint8)).filter(ImageFilter.MaxFilter(5)))
    return np.where((ids == 0) & (grown > 0), 255, ids).astype(np.uint16)


def doubts(index: DatasetIndex) -> str:
    return "\n".join(f"{doubt.file}: {doubt.message}" for doubt in index.train.doubts + index.val.doubts)


def problems(index: DatasetIndex) -> list[str]:
    return [f"{problem.file}: {problem.error}" for problem in index.train.problems + index.val.problems]
