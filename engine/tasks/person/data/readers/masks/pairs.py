"""Pair images and masks by their names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import Final

from engine.protocol.record import record
from engine.task import Rejection
from engine.tasks.person.data.readers.image_files import MASK_SUFFIXES, image_files, plain_name

_ENDINGS: Final = (
    "_mask",
    "",
    "-mask",
    " mask",
    ".mask",
    "_masks",
    "_instance",
    "_instances",
    "_instanceids",
    "_gtfine_instanceids",
    "_gtcoarse_instanceids",
    "_ids",
    "_label",
    "_labels",
    "_seg",
    "_segmentation",
    "_gt",
    "_inst",
)
"""Endings of a mask's stem that the image's stem does not have, in order of preference."""

_OTHER_KINDS: Final = ("_color", "_labelids", "_labeltrainids", "_instancetrainids")
"""Endings of Cityscapes' masks that are not read."""

_BEGINNINGS: Final = ("", "mask_", "mask-")
_IMAGE_ENDINGS: Final = ("", "_leftimg8bit", "_image", "_img", "_rgb")
"""Endings of an image's stem that the mask's stem does not have."""


@record
class Pair:
    """An image file and its mask file; `name` is the image's path in its folder."""

    name: str
    image: Path
    mask: Path


@record
class Pairing:
    """The images of a folder with a mask, and the problems of those without or with a shared one.

    `unused` are masks of no image, without Cityscapes' other kinds of masks.
    """

    pairs: tuple[Pair, ...]
    problems: tuple[Rejection, ...]
    unused: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """Every image of the folder, in order."""
        return sorted([pair.name for pair in self.pairs] + [problem.file for problem in self.problems])


def pair_up(images: Path, masks: Path) -> Pairing:
    """Pair each image in and below a folder with its mask.

    The mask in the folder of the same name has priority, then the only one of that name, then a.jpg.png for a.jpg.
    """
    files = image_files(masks, MASK_SUFFIXES)
    known, anywhere = _by_plain_stem(files), _by_lone_stem(files)
    pairs: list[Pair] = []
    problems: list[Rejection] = []
    owners: dict[str, str] = {}
    for name in image_files(images):
        mask = _mask_of(plain_name(_stem(name)), known) or _mask_of(plain_name(Path(name).stem), anywhere)
        mask = mask or _mask_of(plain_name(name), known) or _mask_of(plain_name(Path(name).name), anywhere)
        if mask is None:
            stem = Path(name).stem
            problems.append(Rejection(name, f"there is no mask {stem}_mask.png or {stem}.png in {masks.name}"))
        elif mask in owners:
            problems.append(Rejection(name, f"its mask {mask} is that of {owners[mask]} already"))
        else:
            owners[mask] = name
            pairs.append(Pair(name, images / name, masks / mask))
    used = {plain_name(_stem(mask)) for mask in owners}
    unused = (
        mask for mask in files if (stem := plain_name(_stem(mask))) not in used and not stem.endswith(_OTHER_KINDS)
    )
    return Pairing(tuple(pairs), tuple(problems), tuple(unused))


def _by_plain_stem(names: Iterable[str]) -> dict[str, str]:
    """Return the masks by folder and normalised stem. Of equal stems, the lossless file is kept."""

    def worth(name: str) -> int:
        return MASK_SUFFIXES.index(Path(name).suffix.lower())

    return {plain_name(_stem(name)): name for name in sorted(names, key=lambda name: (-worth(name), name))}


def _by_lone_stem(names: Iterable[str]) -> dict[str, str]:
    """Return the masks by stem, if the stem is unique among the folders."""
    found: dict[str, set[str]] = {}
    for name in names:
        found.setdefault(plain_name(Path(name).stem), set()).add(name)
    return {stem: min(same) for stem, same in found.items() if len(same) == 1}


def _mask_of(path: str, known: Mapping[str, str]) -> str | None:
    folder, _, stem = path.rpartition("/")
    prefix = f"{folder}/" if folder else ""
    cores = [stem.removesuffix(end) for end in _IMAGE_ENDINGS if stem.endswith(end) and stem != end]
    for core, beginning, ending in product(cores, _BEGINNINGS, _ENDINGS):
        if found := known.get(f"{prefix}{beginning}{core}{ending}"):
            return found
    return None


def _stem(name: str) -> str:
    return name[: -len(Path(name).suffix)]
