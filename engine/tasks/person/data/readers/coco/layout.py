"""Find the annotation files of a data set and their splits by names and folders."""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from engine.errors import UserError
from engine.protocol.record import record
from engine.tasks.person.data.readers.image_lookup import walk_folders

MAX_DEPTH: Final = 4
"""Maximum depth of annotation files below the root."""

_SPLITS: Final = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "eval", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_SPLIT_NAMES: Final = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test",), "": ()}
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_OTHER_TASKS: Final = re.compile(r"(?i)(captions|panoptic|stuff|image_info|sem_|densepose|unlabeled).*")
_PASSED_OVER: Final = re.compile(r"\..*|__MACOSX")
_IMAGE_FOLDERS: Final = ("images", "data", "imgs", "img", "JPEGImages")
_SURE: Final = re.compile(r"(?i)(instances|person_keypoints|lvis)_.*|.*\.coco")


@record
class AnnotationFile:
    """A COCO file with its split (train, val, test or an empty string) and `subset` (such as train2017)."""

    file: Path
    split: str
    subset: str

    @property
    def is_surely_coco(self) -> bool:
        """Whether the name alone identifies a COCO file."""
        return _SURE.fullmatch(self.file.stem) is not None

    @property
    def is_of_keypoints(self) -> bool:
        """Whether the name is that of COCO's keypoint files, which repeat the outlines of the instance files."""
        return self.file.stem.lower().startswith("person_keypoints_")

    @property
    def year(self) -> int:
        """The number at the end of the subset's name, or 0. Without a split, numbers are subsets, not versions."""
        digits = re.search(r"\d+$", self.subset) if self.split else None
        return int(digits[0][:9]) if digits else 0


@record
class CocoFiles:
    """The annotation file of each split. Without `val`, a part of `train` is held out.

    `tests` are not used, nor are `others`: further files of a split, or without one. Keypoint files are not listed.
    """

    train: AnnotationFile
    val: AnnotationFile | None
    tests: tuple[AnnotationFile, ...] = ()
    others: tuple[AnnotationFile, ...] = ()


def find_coco_files(root: Path) -> CocoFiles | None:
    """Return the annotation files under `root`, or `None` if there are none.

    A split's own file has priority over one without a split, a validation file over a test file. Raises UserError if
    several files match equally.
    """
    found = [_classify(file, root) for file in _json_files(root)]
    of_split = {split: [file for file in found if file.split == split] for split in ("train", "val", "", "test")}
    train, val = _best(root, of_split["train"]), _best(root, of_split["val"])
    if train is None:
        train, val = val or _best(root, of_split[""]) or _best(root, of_split["test"]), None
    if train is None:
        return None
    unused = [file for file in found if file not in (train, val)]
    tests = tuple(file for file in unused if file.split == "test")
    others = (file for file in unused if file.split != "test" and not file.is_of_keypoints)
    return CocoFiles(train, val, tests, tuple(others))


def image_folders(root: Path, annotations: AnnotationFile) -> list[Path]:
    """Return the possible folders of the images of an annotation file, the most likely first."""
    own = annotations.file.parent
    names = list(dict.fromkeys((annotations.subset, *_SPLIT_NAMES[annotations.split], annotations.split)))
    names = [name for name in names if name]
    folders = [own / name for name in _IMAGE_FOLDERS] + [own] if own != root else []
    for name in names:
        folders += [root / name, *(root / name / inner for inner in _IMAGE_FOLDERS)]
        folders += [root / outer / name for outer in _IMAGE_FOLDERS]
    return [*folders, *(root / name for name in _IMAGE_FOLDERS), root]


def _json_files(root: Path) -> Iterator[Path]:
    for folder, files in walk_folders(root, MAX_DEPTH, _PASSED_OVER):
        named = (folder / name for name in sorted(files) if _may_hold_people(name))
        yield from filter(_is_annotation_file, named)


def _may_hold_people(name: str) -> bool:
    """Return whether a file of this name may hold instances: it is JSON, and not of another task."""
    stem, suffix = os.path.splitext(name)
    return suffix.lower() == ".json" and not name.startswith(".") and not _OTHER_TASKS.fullmatch(stem)


def _is_annotation_file(file: Path) -> bool:
    """Return whether the name or the two keys of the content identify a COCO file.

    Pipes and devices are not read.
    """
    if file.exists() and not file.is_file():
        return False
    if _SURE.fullmatch(file.stem):
        return True
    try:
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as text:
            return text.find(b'"annotations"') >= 0 and text.find(b'"images"') >= 0
    except (OSError, ValueError):
        return file.stem.lower() in _SPLITS


def _classify(file: Path, root: Path) -> AnnotationFile:
    """Return the file with the split in its name, else the split of the innermost folder that names one."""
    for name in (file.stem, *reversed(file.relative_to(root).parts[:-1])):
        if split := split_of(name):
            return AnnotationFile(file, *split)
    subset = file.stem.partition("_")[2] if file.stem.lower().startswith("instances_") else ""
    return AnnotationFile(file, "", subset)


def split_of(name: str) -> tuple[str, str] | None:
    """Return the split and the subset in a name: ("train", "train2017") for `instances_train2017`."""
    words = list(_WORD.finditer(name))
    for place, word in enumerate(words):
        split = _SPLITS.get(word[0].lower().removeprefix("mini"))
        if split:
            following = words[place + 1] if place + 1 < len(words) else None
            is_year = following is not None and following[0].isdigit() and following.start() == word.end()
            return split, name[word.start() : following.end() if is_year and following else word.end()]
    return None


def _best(root: Path, files: Sequence[AnnotationFile]) -> AnnotationFile | None:
    """Return the best annotation file of a split, or `None`. Raises UserError if two rank equally."""
    if not files:
        return None
    ranked = sorted(files, key=lambda file: _rank(root, file))
    equal = [file for file in files if _rank(root, file) == _rank(root, ranked[-1])]
    if len(equal) > 1:
        names = " and ".join(str(file.file.relative_to(root)) for file in equal[:3])
        split = f"the {equal[0].split} split" if equal[0].split else "all images"
        raise UserError(
            f"The data path {root} has {len(equal)} annotation files for {split}: {names}: keep one of them there, or "
            "name them instances_train.json and instances_val.json."
        )
    return ranked[-1]


def _rank(root: Path, file: AnnotationFile) -> tuple[int, int, bool, int, int]:
    """Return the sort key: the kind, depth, no year before the latest year, and the plainest name.

    Keypoint files are read only if there are no others. Without a split, instances_a and instances_b are subsets.
    """
    stem = file.file.stem.lower()
    kind = 2 if stem.startswith("instances_") else 0 if file.is_of_keypoints else 1
    depth = len(file.file.relative_to(root).parts)
    plainness = -len(_WORD.findall(file.file.stem)) - ("mini" in stem) if file.split or kind != 2 else 0
    return kind, -depth, file.year == 0, file.year, plainness
