"""Validation pictures on disk: `previews/step-XXXXXXXX.npz` of a run, read without torch.

N samples; H x W pixels, which may differ between the planes of a sample.
"""

from __future__ import annotations

import math
import re
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from engine.journal.disk.run_dir import PREVIEWS
from engine.protocol.record import record

_NAME: Final = re.compile(r"step-(\d{8,})\.npz")
DAMAGED: Final = (OSError, ValueError, TypeError, LookupError, EOFError, zipfile.BadZipFile, zlib.error)
"""The errors of reading a damaged file."""


Kind = Literal["rgb", "classes", "scalar", "signed"]
"""Meaning of a plane's values 0..255: colours (H x W x 3), class numbers, 0..1, or -1..1 with 128 for 0."""

TRUTH: Final = "truth"
PREDICTED: Final = "predicted"
"""Planes of classes with these names are compared with each other."""

_FORMER: Final[dict[str, tuple[str, Kind]]] = {
    "image": ("image", "rgb"),
    "label": (TRUTH, "classes"),
    "predicted": (PREDICTED, "classes"),
    "contour": ("outline", "scalar"),
    "distance": ("distance", "signed"),
}
"""The arrays of older files, whose planes had no names."""

_SAMPLE: Final = "sample_id"
_NUMBERS: Final = ("error", "rank", "place")
MAX_CLASSES: Final = 256


@record
class Plane:
    """One picture of a sample with its `name` on screen; `kind` is the meaning of `values`."""

    name: str
    kind: Kind
    values: NDArray[np.uint8]


@record
class Preview:
    """A validation sample as pictures, in display order.

    `error` is larger for a worse prediction, NaN if the task has none. `rank` counts from the worst of the split, 1; it
    is 0 without an error. `place` is the sample's place in the split, from 0; -1 if it is unknown.
    """

    sample_id: str
    planes: tuple[Plane, ...]
    error: float = math.nan
    rank: int = 0
    place: int = -1

    def plane(self, name: str, kind: Kind) -> NDArray[np.uint8] | None:
        """Return the values of the plane `name`, or `None` if there is none of that kind."""
        return next((plane.values for plane in self.planes if (plane.name, plane.kind) == (name, kind)), None)


def plane_key(plane: Plane) -> str:
    """Return the name of the array that holds a plane of all samples."""
    return f"{plane.kind}:{plane.name}"


def preview_path(run_dir: Path, step: int) -> Path:
    """Return the file of the validation after `step` steps."""
    return run_dir / PREVIEWS / f"step-{step:08d}.npz"


def preview_steps(run_dir: Path) -> tuple[int, ...]:
    """Return the steps with validation pictures in ascending order, possibly empty."""
    try:
        names = [path.name for path in (run_dir / PREVIEWS).iterdir()]
    except OSError:
        return ()
    return tuple(sorted(int(found[1]) for name in names if (found := _NAME.fullmatch(name))))


def read_previews(run_dir: Path, step: int, num_classes: int = MAX_CLASSES) -> tuple[Preview, ...]:
    """Return the pictures of the validation after `step` steps.

    Raises UserError if the file is missing or damaged.
    """
    path = preview_path(run_dir, step)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            stacks = {name: held[name] for name in held.files}
        numbers = {name: stacks.pop(name).tolist() for name in _NUMBERS if name in stacks}
        return tuple(
            replace(_preview(stacks, number, num_classes), **{name: values[number] for name, values in numbers.items()})
            for number in range(len(stacks[_SAMPLE]))
        )
    except DAMAGED as error:
        raise UserError(f"cannot read {path.name}: {error}") from error


def _preview(stacks: dict[str, NDArray[np.generic]], number: int, num_classes: int) -> Preview:
    """Return sample `number` of the file. Raises ValueError, TypeError or LookupError if it is not a picture."""
    planes = tuple(
        Plane(*meaning_of(key), stack[number].astype(np.uint8, casting="safe"))
        for key, stack in stacks.items()
        if key != _SAMPLE
    )
    for plane in planes:
        _check(plane, num_classes)
    if len({plane.values.shape for plane in planes if plane.kind == "classes"}) > 1:
        raise ValueError("its planes of classes differ in size")
    return Preview(str(stacks[_SAMPLE][number]), planes)


def meaning_of(key: str) -> tuple[str, Kind]:
    """Return the name and kind of an array's plane. Raises ValueError for an unknown array."""
    if key in _FORMER:
        return _FORMER[key]
    kind, colon, name = key.partition(":")
    if not colon or kind not in get_args(Kind):
        raise ValueError("it holds no pictures")
    return name, cast(Kind, kind)


def _check(plane: Plane, num_classes: int) -> None:
    is_picture = (
        plane.values.ndim == 3 and plane.values.shape[2] == 3 if plane.kind == "rgb" else plane.values.ndim == 2
    )
    if not is_picture or not plane.values.size:
        raise ValueError("it holds no pictures")
    if plane.kind == "classes" and plane.values.max() >= num_classes:
        raise ValueError("it holds unknown classes")


def sample_ious(preview: Preview, num_classes: int) -> tuple[float | None, ...]:
    """Return the intersection over union of each class in this sample, 0..1.

    A class neither present nor predicted is `None`. The result is empty without planes of true and predicted classes.
    """
    truth_HW, predicted_HW = preview.plane(TRUTH, "classes"), preview.plane(PREDICTED, "classes")
    if truth_HW is None or predicted_HW is None:
        return ()
    ious: list[float | None] = []
    for number in range(num_classes):
        true_HW, seen_HW = truth_HW == number, predicted_HW == number
        union = int((true_HW | seen_HW).sum())
        ious.append(int((true_HW & seen_HW).sum()) / union if union else None)
    return tuple(ious)
