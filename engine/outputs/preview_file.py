"""Validation pictures on the disk: `previews/step-XXXXXXXX.npz` of a run, read without torch.

N regions; H x W pixels, of the region in `image`, of the mask elsewhere.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from engine.journal.disk.run_dir import PREVIEWS
from engine.tasks.person.spec import CLASSES

_NAME: Final = re.compile(r"step-(\d{8,})\.npz")
_DAMAGED: Final = (OSError, ValueError, TypeError, LookupError, EOFError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True, slots=True)
class Preview:
    """A region of the validation split: RGB 0..255, true and predicted class of each pixel.

    Where the network has the heads: the probability of the target's outline (0..255 for 0..1) and the signed distance
    to it (0..255 for -1..1, 128 on the outline).
    """

    sample_id: str
    image_HWC: NDArray[np.uint8]
    label_HW: NDArray[np.uint8]
    predicted_HW: NDArray[np.uint8]
    contour_HW: NDArray[np.uint8] | None = None
    distance_HW: NDArray[np.uint8] | None = None


def preview_path(run_dir: Path, step: int) -> Path:
    """The file of the validation after `step` steps."""
    return run_dir / PREVIEWS / f"step-{step:08d}.npz"


def preview_steps(run_dir: Path) -> tuple[int, ...]:
    """The steps whose validation left pictures, ascending; empty where there are none."""
    try:
        names = [path.name for path in (run_dir / PREVIEWS).iterdir()]
    except OSError:
        return ()
    return tuple(sorted(int(found[1]) for name in names if (found := _NAME.fullmatch(name))))


def read_previews(run_dir: Path, step: int) -> tuple[Preview, ...]:
    """The pictures of the validation after `step` steps. Raises UserError when the file is gone or damaged."""
    path = preview_path(run_dir, step)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            stacks = {name: held[name] for name in held.files}
        return tuple(_preview(stacks, number) for number in range(len(stacks["sample_id"])))
    except _DAMAGED as error:
        raise UserError(f"cannot read {path.name}: {error}") from error


def _preview(stacks: dict[str, NDArray[np.generic]], number: int) -> Preview:
    """Region `number` of the file. Raises ValueError, TypeError or LookupError where it is no picture."""
    image_HWC, label_HW, predicted_HW = (
        stacks[name][number].astype(np.uint8, casting="safe") for name in ("image", "label", "predicted")
    )
    if image_HWC.ndim != 3 or image_HWC.shape[2] != 3 or label_HW.ndim != 2 or label_HW.shape != predicted_HW.shape:
        raise ValueError("it holds no pictures")
    if max(label_HW.max(initial=0), predicted_HW.max(initial=0)) >= len(CLASSES):
        raise ValueError("it holds unknown classes")
    heads = {f"{name}_HW": stacks[name][number].astype(np.uint8) for name in ("contour", "distance") if name in stacks}
    return Preview(str(stacks["sample_id"][number]), image_HWC, label_HW, predicted_HW, **heads)


def sample_ious(preview: Preview) -> tuple[float | None, ...]:
    """Intersection over union of each class in this region, 0..1; None for one neither there nor predicted."""
    ious: list[float | None] = []
    for number in range(len(CLASSES)):
        true_HW, seen_HW = preview.label_HW == number, preview.predicted_HW == number
        union = int((true_HW | seen_HW).sum())
        ious.append(int((true_HW & seen_HW).sum()) / union if union else None)
    return tuple(ious)
