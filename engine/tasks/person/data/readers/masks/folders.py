"""Read folders of images and of instance masks with one number per person, as in Penn-Fudan."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from engine.task import Doubt, Rejection
from engine.tasks.person.data.readers.coco.layout import split_of
from engine.tasks.person.data.readers.holdout import HoldOut, held_out
from engine.tasks.person.data.readers.image_files import MASK_SUFFIXES, child, image_files, subfolders
from engine.tasks.person.data.readers.masks.pairs import Pairing, pair_up
from engine.tasks.person.data.readers.masks.rules import decide_rule, most_have_dust
from engine.tasks.person.data.readers.masks.split_reading import Reading
from engine.tasks.person.data.readers.scenes import SplitIndex

FOLDERS: Final = (
    ("PNGImages", "PedMasks"),
    ("images", "masks"),
    ("imgs", "masks"),
    ("leftImg8bit", "gtFine"),
    ("JPEGImages", "SegmentationObject"),
    ("images", "mask"),
    ("image", "mask"),
    ("image", "masks"),
    ("img", "mask"),
)
"""The known pairs of image and mask folders, case-insensitive."""

_SPLITS: Final = {"train": ("train", "training"), "val": ("val", "valid", "validation")}
"""The folders of the two splits by their usual names. Others are recognised by a word in them, such as val2017."""


def find_mask_folders(root: Path) -> tuple[tuple[Path, Path], ...]:
    """Return the pairs of image and mask folders: one for both splits, or one per split.

    Return an empty tuple for another layout. A split's folders are below those of the images and masks, or contain
    them. All may be in the only subfolder of `root` with this layout.
    """
    if found := _folders_in(root):
        return found
    inner = [found for folder in subfolders(root) if (found := _folders_in(folder))]
    return inner[0] if len(inner) == 1 else ()


def unused_folders(root: Path, folders: tuple[tuple[Path, Path], ...]) -> list[Path]:
    """Return the folders below `root` with images of other splits, such as test, or of a split without masks."""
    own = folders[0][0]
    if own.parent != root and split_of(own.name):
        candidates = subfolders(own.parent)
    elif own.parent != root and split_of(own.parent.name):
        candidates = [child(split, own.name) for split in subfolders(own.parent.parent)]
    else:
        return []
    used = {images for images, _ in folders}
    return sorted(folder for folder in candidates if folder and folder not in used and image_files(folder))


def loose_images(folders: tuple[tuple[Path, Path], ...]) -> list[Path]:
    """Return the images next to the folders of the splits, which have no mask and are not read."""
    parent = folders[0][0].parent
    is_of_splits = len(folders) > 1 and folders[1][0].parent == parent
    return [parent / name for name in image_files(parent) if "/" not in name] if is_of_splits else []


def _split_folder(folder: Path, split: str) -> Path | None:
    """Return the subfolder of a split, or `None` if none or several may be it."""
    if usual := child(folder, *_SPLITS[split]):
        return usual
    named = [each for each in subfolders(folder) if (found := split_of(each.name)) and found[0] == split]
    return named[0] if len(named) == 1 else None


def _folders_in(root: Path) -> tuple[tuple[Path, Path], ...]:
    for images_name, masks_name in FOLDERS:
        images, masks = child(root, images_name), child(root, masks_name)
        if images and masks:
            return _split_pairs(images, masks) or ((images, masks),)
        train, val = _split_folder(root, "train"), _split_folder(root, "val")
        inner = [child(split, name) for split in (train, val) if split for name in (images_name, masks_name)]
        found = [folder for folder in inner if folder]
        if len(found) == len(inner) in (2, 4) and train:
            return tuple(zip(found[::2], found[1::2], strict=True))
    return ()


def index_mask_folders(folders: tuple[tuple[Path, Path], ...], hold_out: HoldOut) -> tuple[SplitIndex, SplitIndex]:
    """Return the train and the validation split of image and mask folders. Problems are listed, never raised.

    With one pair of folders, the file names alone decide the split of an image.
    """
    pairings = [pair_up(images, masks) for images, masks in folders]
    unused = [mask for pairing in pairings for mask in pairing.unused]
    if len(pairings) == 1:
        pairings = _hold_out(pairings[0], hold_out)
    readings = [Reading.of(pairing) for pairing in pairings]
    masks = [mask for reading in readings for mask, _ in reading.masks]
    rule, doubts = decide_rule(masks)
    if unused:
        text = f"{len(unused)} masks belong to no image and are not read, such as {unused[0]}"
        doubts = (*doubts, Doubt(unused[0], f"{text}: each image has one mask, with a number for each person"))
    are_lossy = most_have_dust(masks, rule)
    train, val = (reading.split(rule, are_lossy=are_lossy) for reading in readings)
    if not train.num_images and not val.num_images:
        return SplitIndex((), (Rejection(folders[0][0].name, "the folder holds no image"),)), val
    return SplitIndex(train.scenes, train.problems, train.num_images, doubts=doubts), val


def _split_pairs(images: Path, masks: Path) -> tuple[tuple[Path, Path], ...]:
    """Return the folders train and val in both, or train alone.

    Return an empty tuple if images with masks are next to them, or images next to train alone.
    """
    pairs = [(_split_folder(images, split), _split_folder(masks, split)) for split in _SPLITS]
    found = tuple((image, mask) for image, mask in pairs if image and mask) if all(pairs[0]) else ()
    is_loose = any("/" not in name for name in image_files(images))
    if is_loose and (len(found) < 2 or any("/" not in name for name in image_files(masks, MASK_SUFFIXES))):
        return ()
    return found


def _hold_out(pairing: Pairing, rule: HoldOut) -> list[Pairing]:
    held = held_out(pairing.names, rule)
    return [
        Pairing(
            tuple(pair for pair in pairing.pairs if (pair.name in held) == is_val),
            tuple(problem for problem in pairing.problems if (problem.file in held) == is_val),
        )
        for is_val in (False, True)
    ]
