"""Folders of images beside folders of instance masks, as Penn-Fudan pedestrians come: one number for each person."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from engine.data.holdout import HoldOut, held_out
from engine.data.pixels import Size, displayed_size, read_ids, read_image, stored_size
from engine.data.rejections import Rejection, UnusableSample
from engine.data.scenes import Box, Picture, SplitIndex, cut_mask

FOLDERS: Final = (("PNGImages", "PedMasks"), ("images", "masks"))
"""The pairs of image and mask folders that are known."""

_IMAGE_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


@dataclass(frozen=True, slots=True)
class MaskScene:
    """An image file and its mask file; `size` is the mask's (width, height), and the image must have it."""

    name: str
    image_file: Path
    mask_file: Path
    size: Size
    boxes: tuple[Box | None, ...]

    def read(self) -> Picture:
        """Decode both files; raises UnusableSample when one cannot be read or the sizes differ."""
        image = read_image(self.image_file, self.size)
        ids_HW, count = _number(read_ids(self.mask_file))
        people = (cut_mask(ids_HW == number, id=str(number)) for number in range(1, count + 1))
        return Picture(image, tuple(people))


def index_mask_folders(images: Path, masks: Path, hold_out: HoldOut) -> tuple[SplitIndex, SplitIndex]:
    """The train and the validation split of an image folder and its mask folder; problems are listed, never raised.

    Which split an image falls into depends on the file names alone.
    """
    files = sorted(file for file in images.iterdir() if file.suffix.lower() in _IMAGE_SUFFIXES)
    held = held_out((file.name for file in files), hold_out)
    return (
        _index([file for file in files if file.name not in held], masks),
        _index([file for file in files if file.name in held], masks),
    )


def _index(files: list[Path], masks: Path) -> SplitIndex:
    scenes: list[MaskScene] = []
    problems: list[Rejection] = []
    for file in files:
        try:
            scene = _scene(file, masks)
        except UnusableSample as error:
            problems.append(Rejection(file.name, str(error)))
            continue
        if scene.boxes:
            scenes.append(scene)
    return SplitIndex(tuple(scenes), tuple(problems), len(files))


def _scene(file: Path, masks: Path) -> MaskScene:
    mask_file = _mask_file(file, masks)
    ids_HW, _ = _number(read_ids(mask_file))
    height, width = ids_HW.shape
    if (width, height) not in (stored_size(file), displayed_size(file)):
        stored, drawn = "{} x {}".format(*stored_size(file)), f"{width} x {height}"
        raise UnusableSample(f"the image is {stored} pixels, its mask {mask_file.name} is {drawn}")
    return MaskScene(file.name, file, mask_file, (width, height), _boxes(ids_HW))


def _mask_file(file: Path, masks: Path) -> Path:
    names = [f"{file.stem}{ending}{suffix}" for ending in ("_mask", "") for suffix in _IMAGE_SUFFIXES]
    found = next((masks / name for name in names if (masks / name).is_file()), None)
    if found is None:
        raise UnusableSample(f"there is no mask {file.stem}_mask.png in {masks.name}")
    return found


def _number(ids_HW: NDArray[np.integer]) -> tuple[NDArray[np.int32], int]:
    """The ids renumbered 1, 2, ... in ascending order, 0 kept as nobody, and how many there are."""
    present, places = np.unique(ids_HW, return_inverse=True)
    people = present[present > 0]
    numbers = np.where(present > 0, np.searchsorted(people, present) + 1, 0).astype(np.int32)
    return numbers[places].reshape(ids_HW.shape), len(people)


def _boxes(ids_HW: NDArray[np.int32]) -> tuple[Box, ...]:
    return tuple(
        (float(columns.start), float(rows.start), float(columns.stop), float(rows.stop))
        for rows, columns in find_objects(ids_HW)
    )
