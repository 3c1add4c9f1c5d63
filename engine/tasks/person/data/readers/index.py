"""Detect the layout of a directory and list the scenes of its two splits, without torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from engine.errors import UserError
from engine.protocol.record import record
from engine.task import Rejection
from engine.tasks.person.data.readers.coco.layout import AnnotationFile, CocoFiles, find_coco_files, image_folders
from engine.tasks.person.data.readers.coco.reader import CocoOptions, index_coco
from engine.tasks.person.data.readers.foreign import describe_foreign
from engine.tasks.person.data.readers.holdout import VALIDATION_EVERY, HoldOut, held_out
from engine.tasks.person.data.readers.image_lookup import ImageFinder
from engine.tasks.person.data.readers.masks.folders import (
    find_mask_folders,
    index_mask_folders,
    loose_images,
    unused_folders,
)
from engine.tasks.person.data.readers.scenes import Scene, SplitIndex
from engine.tasks.person.data.readers.spellings import base_name

KNOWN_LAYOUTS: Final = (
    "COCO JSON of any tool (annotations/instances_train2017.json, instances_val2017.json, train2017/, val2017/; "
    "instances_train.json, instances_val.json, images/; train/_annotations.coco.json, valid/; result.json, images/; "
    "data/, labels.json; one JSON file with its images), "
    "mask folders (PNGImages/ with PedMasks/, or images/ with masks/, with train/ and val/ in or around them or not)"
)

_NUM_NAMED: Final = 3
"""Number of unread annotation files that a note names."""

_PACKED: Final = re.compile(r"(?i).*\.(gz|jsonl|ndjson|zip|tar|tgz|bz2|xz|7z|parquet)")
_NOT_DATA: Final = re.compile(r"\..*|__MACOSX")


@record
class DatasetIndex:
    """Content of a directory: the layout in words, both splits, and `notes` on how they were split.

    With `is_divided`, the directory has one split, of which a fifth became the validation split.
    """

    layout: str
    train: SplitIndex
    val: SplitIndex
    notes: tuple[str, ...] = ()
    is_divided: bool = False


def index_dataset(path: Path, hold_out: HoldOut = "by_hash", options: CocoOptions | None = None) -> DatasetIndex:
    """Return the scenes under `path`. A single split is divided by `hold_out`.

    Raises UserError if the directory does not exist or its layout is unknown.
    """
    try:
        is_there, is_directory = path.exists(), path.is_dir()
    except OSError as error:
        raise UserError(f"The data path {str(path)[:100]} cannot be accessed: {error.strerror}.") from error
    if not is_directory:
        kind = "is a file, not a directory" if is_there else "does not exist"
        raise UserError(f"The data path {path} {kind}: give a directory with one of these layouts: {KNOWN_LAYOUTS}.")
    root = _inner(path)
    files = find_coco_files(root)
    if files and files.train.is_surely_coco:
        return _index_coco(root, files, hold_out, options or CocoOptions())
    if folders := find_mask_folders(root):
        return _index_masks(root, folders, hold_out)
    if files:
        return _index_coco(root, files, hold_out, options or CocoOptions())
    packed = sorted(entry.name for entry in root.iterdir() if _PACKED.fullmatch(entry.name))
    seems = describe_foreign(root)
    hint = f" (unpack or convert {', '.join(packed[:_NUM_NAMED])} first)" if packed else f" ({seems})" if seems else ""
    raise UserError(f"The data path {path} has an unknown layout{hint}; known layouts: {KNOWN_LAYOUTS}.")


def _index_masks(root: Path, folders: tuple[tuple[Path, Path], ...], hold_out: HoldOut) -> DatasetIndex:
    notes = [f"there is one split: {_held_out(hold_out)}"] if len(folders) == 1 else []
    if unused := [folder.relative_to(root).as_posix() for folder in unused_folders(root, folders)]:
        notes.append(f"not read: the images in {_listed(unused)}")
    if loose := [file.relative_to(root).as_posix() for file in loose_images(folders)]:
        notes.append(f"not read, next to the folders of the splits: {_listed(loose)}")
    splits = index_mask_folders(folders, hold_out)
    return DatasetIndex("mask folders", *splits, tuple(notes), is_divided=len(folders) == 1)


def _inner(path: Path) -> Path:
    """Return the directory, or its only subdirectory, since archives are often unpacked into one."""
    while True:
        try:
            entries = [entry for entry in path.iterdir() if not _NOT_DATA.fullmatch(entry.name)]
        except OSError as error:
            raise UserError(f"The data path {path} cannot be read: {error.strerror}.") from error
        if len(entries) != 1 or not entries[0].is_dir():
            return path
        path = entries[0]


def _index_coco(root: Path, files: CocoFiles, hold_out: HoldOut, options: CocoOptions) -> DatasetIndex:
    """Return both splits of COCO files. Of a single file, a fifth of the images with people is held out."""
    train = _coco_split(root, files.train, options)
    tests = _unused(root, files)
    name = files.train.file.relative_to(root).as_posix()
    if files.val:
        val_name = files.val.file.relative_to(root).as_posix()
        notes = (f"the train split is read from {name}, the val split from {val_name}{tests}",)
        val = _coco_split(root, files.val, options)
        of_train, of_val = (set(image_folders(root, split)) for split in (files.train, files.val))
        train = _without_namesakes(train, of_val - of_train, val)
        val = _without_namesakes(val, of_train - of_val, train)
        return DatasetIndex("COCO JSON", train, val, notes)
    train, val = _divide(train, hold_out)
    notes = (f"there is one split, {name}: {_held_out(hold_out)}{tests}",)
    return DatasetIndex("COCO JSON", train, val, notes, is_divided=True)


def _unused(root: Path, files: CocoFiles) -> str:
    """Return the end of a note that names the annotation files that are not read; an empty string if there are none."""
    names = [file.file.relative_to(root).as_posix() for file in files.others]
    others = f"; not read: {_listed(names)}" if names else ""
    return ("; the test split is not used" if files.tests else "") + others


def _listed(names: Sequence[str]) -> str:
    """Return the first few names and the number of others."""
    more = f" and {len(names) - _NUM_NAMED} more" if len(names) > _NUM_NAMED else ""
    return ", ".join(names[:_NUM_NAMED]) + more


def _without_namesakes(split: SplitIndex, foreign: set[Path], other: SplitIndex) -> SplitIndex:
    """Return the split without scenes whose image was found only in a folder of the other split.

    Numbered images have the same names in every split: if one is missing, its namesake is another picture.
    """
    taken = {scene.file for scene in other.scenes}
    lost = {scene.name for scene in split.scenes if scene.file in taken and _is_namesake(scene, foreign)}
    if not lost:
        return split
    says = "the image file is missing; the only one of that name belongs to the other split"
    problems = (*split.problems, *(Rejection(name, says) for name in sorted(lost)))
    return replace(split, scenes=tuple(scene for scene in split.scenes if scene.name not in lost), problems=problems)


def _is_namesake(scene: Scene, foreign: set[Path]) -> bool:
    """Return whether the image is in a folder of the other split that its annotations do not name."""
    return scene.file is not None and scene.file.parent in foreign and scene.file.parent.name not in scene.name


def _held_out(hold_out: HoldOut) -> str:
    rule = "by hashes of their names" if hold_out == "by_hash" else "in the order of their names"
    return f"every 5th of its images is held out for validation, {rule}"


def _coco_split(root: Path, annotations: AnnotationFile, options: CocoOptions) -> SplitIndex:
    return index_coco(annotations.file, ImageFinder(root, image_folders(root, annotations)), options)


def _divide(split: SplitIndex, hold_out: HoldOut) -> tuple[SplitIndex, SplitIndex]:
    """Return the split without a fifth of its scenes, and that fifth. Problems and doubts stay with the first.

    The base names decide, whatever the folders are called, unless few of them are for many images (scene7/rgb.png).
    """
    names = [base_name(scene.name) for scene in split.scenes]
    if len(set(names)) < min(VALIDATION_EVERY, len(names)):
        names = [scene.name for scene in split.scenes]
    held = held_out(names, hold_out)
    places = [name in held for name in names]
    kept = tuple(scene for scene, is_held in zip(split.scenes, places, strict=True) if not is_held)
    val = tuple(scene for scene, is_held in zip(split.scenes, places, strict=True) if is_held)
    return replace(split, scenes=kept, num_images=split.num_images - len(val)), SplitIndex(val, num_images=len(val))
