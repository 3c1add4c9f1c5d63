"""Which layout a directory has, and the scenes of its two splits; torch-free."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.data.coco import index_coco
from engine.data.holdout import HoldOut
from engine.data.mask_folders import find_mask_folders, index_mask_folders
from engine.data.rejections import Rejection
from engine.data.scenes import SplitIndex
from engine.errors import UserError

KNOWN_LAYOUTS: Final = (
    "COCO (annotations/instances_train2017.json, instances_val2017.json, train2017/, val2017/), "
    "COCO person subsets (instances_train.json, instances_val.json, images/), "
    "mask folders (PNGImages/ with PedMasks/, or images/ with masks/)"
)

_ANNOTATIONS: Final = re.compile(r"instances_(train|val)(\d*)\.json")


@dataclass(frozen=True, slots=True)
class DatasetIndex:
    """What a directory holds: the layout in words, and both splits."""

    layout: str
    train: SplitIndex
    val: SplitIndex


def index_dataset(path: Path, hold_out: HoldOut = "by_hash") -> DatasetIndex:
    """The scenes under `path`; where there is one split, a fifth is held out by the rule `hold_out`.

    Raises UserError when there is no such directory or its layout is not known.
    """
    if not path.is_dir():
        kind = "is a file, not a directory" if path.exists() else "does not exist"
        raise UserError(f"The data path {path} {kind}: give a directory with one of these layouts: {KNOWN_LAYOUTS}.")
    if found := _find_annotations(path):
        return DatasetIndex("COCO JSON", _coco_split(path, "train", found), _coco_split(path, "val", found))
    if folders := find_mask_folders(path):
        return DatasetIndex("mask folders", *index_mask_folders(folders, hold_out))
    raise UserError(f"The data path {path} has no layout that is known; known are: {KNOWN_LAYOUTS}.")


def _find_annotations(path: Path) -> dict[str, Path]:
    """The annotation file of each split: without a year before the latest year, in the root before annotations/."""
    found: dict[str, Path] = {}
    for folder in (path / "annotations", path):
        for file in sorted(
            folder.glob("instances_*.json"), key=lambda file: (file.stem.endswith(("train", "val")), file.name)
        ):
            if match := _ANNOTATIONS.fullmatch(file.name):
                found[match[1]] = file
    return found


def _coco_split(path: Path, split: str, found: dict[str, Path]) -> SplitIndex:
    if split not in found:
        return SplitIndex((), (Rejection(f"instances_{split}.json", "there is no such annotation file"),))
    match = _ANNOTATIONS.fullmatch(found[split].name)
    folder = split + (match[2] if match else "")
    names = (folder, f"images/{folder}", split, f"images/{split}", "images", ".")
    return index_coco(found[split], [path / name for name in names])
