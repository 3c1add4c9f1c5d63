"""Small pictures of remembered samples: `previews/strip-XXXXXXXX.npz` of each validation, read without torch.

They show how the prediction of a sample changed, long after the pictures of its validation were deleted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.journal.disk.run_dir import PREVIEWS
from engine.outputs.inference.whole_file import write_whole
from engine.outputs.preview_file import DAMAGED, PREDICTED, Plane, Preview, meaning_of, plane_key
from engine.protocol.record import record

MAX_STRIPS: Final = 200
"""Number of validations with small pictures at which every second one is deleted, but for the first and the newest."""
_SIDE: Final = 32
"""Largest height and width of a small picture in pixels."""
_NAME: Final = re.compile(r"strip-(\d{8,})\.npz")


@record
class Thumbnail:
    """A sample's prediction at one validation: its picture, and its error or NaN.

    `worst_at` is the last step at which it was among the worst; -1 for never, -2 for a sample that is not remembered.
    """

    sample_id: str
    error: float
    worst_at: int
    plane: Plane


def strip_path(run_dir: Path, step: int) -> Path:
    """Return the file of the validation after `step` steps."""
    return run_dir / PREVIEWS / f"strip-{step:08d}.npz"


def strip_steps(run_dir: Path) -> tuple[int, ...]:
    """Return the steps with small pictures in ascending order, possibly empty."""
    try:
        names = [path.name for path in (run_dir / PREVIEWS).iterdir()]
    except OSError:
        return ()
    return tuple(sorted(int(found[1]) for name in names if (found := _NAME.fullmatch(name))))


def thumbnails_of(previews: Iterable[Preview], worst_at: dict[str, int]) -> tuple[Thumbnail, ...]:
    """Return the small picture of each preview that has a prediction, or else any plane; all of one size."""
    found: list[Thumbnail] = []
    shape: tuple[int, int] | None = None
    for preview in previews:
        plane = next((plane for plane in preview.planes if plane.name == PREDICTED), None) or next(
            iter(preview.planes), None
        )
        if plane is None or (found and plane_key(plane) != plane_key(found[0].plane)):
            continue
        shape = shape or _size(plane.values)
        small = Plane(plane.name, plane.kind, _nearest(plane.values, shape))
        found.append(Thumbnail(preview.sample_id, preview.error, worst_at.get(preview.sample_id, -2), small))
    return tuple(found)


def _size(values: NDArray[np.uint8]) -> tuple[int, int]:
    height, width = values.shape[:2]
    factor = min(1.0, _SIDE / max(height, width))
    return max(round(height * factor), 1), max(round(width * factor), 1)


def _nearest(values: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    height, width = size
    rows = ((np.arange(height) + 0.5) * values.shape[0] / height).astype(np.intp)
    columns = ((np.arange(width) + 0.5) * values.shape[1] / width).astype(np.intp)
    return values[rows[:, None], columns]


def write_strip(run_dir: Path, step: int, thumbnails: Sequence[Thumbnail]) -> None:
    """Write the file of a validation and thin out the older files. Raises OSError."""
    if not thumbnails:
        return
    path = strip_path(run_dir, step)
    path.parent.mkdir(parents=True, exist_ok=True)
    packed = BytesIO()
    np.savez_compressed(
        packed,
        allow_pickle=False,
        sample_id=np.array([small.sample_id for small in thumbnails], dtype=np.str_),
        error=np.array([small.error for small in thumbnails], dtype=np.float32),
        worst_at=np.array([small.worst_at for small in thumbnails], dtype=np.int64),
        **{plane_key(thumbnails[0].plane): np.stack([small.plane.values for small in thumbnails])},
    )
    write_whole(path, packed.getvalue())
    steps = strip_steps(run_dir)
    for old in steps[1:-1:2] if len(steps) > MAX_STRIPS else ():
        strip_path(run_dir, old).unlink(missing_ok=True)


def read_strip(run_dir: Path, step: int) -> tuple[Thumbnail, ...]:
    """Return the small pictures of the validation after `step` steps; nothing if the file is missing or damaged."""
    try:
        with strip_path(run_dir, step).open("rb") as file, np.load(file, allow_pickle=False) as held:
            stacks = {name: held[name] for name in held.files}
        ids, errors, worst_at = (stacks.pop(name) for name in ("sample_id", "error", "worst_at"))
        ((key, pictures),) = stacks.items()
        name, kind = meaning_of(key)
        values = pictures.astype(np.uint8, casting="safe")
        if values.ndim != (4 if kind == "rgb" else 3) or not values.size:
            return ()
        return tuple(
            Thumbnail(str(ids[at]), float(errors[at]), int(worst_at[at]), Plane(name, kind, values[at]))
            for at in range(len(ids))
        )
    except DAMAGED:
        return ()


@record
class Remembered:
    """The samples that every validation shows, with the last step at which each was among the worst or -1."""

    worst_at: dict[str, int]

    @property
    def sample_ids(self) -> frozenset[str]:
        """Return the names of the samples."""
        return frozenset(self.worst_at)

    def after(self, step: int, worst: Iterable[str], first: Iterable[str], most: int) -> Remembered:
        """Return at most `most` samples: those among the worst most recently, then the former ones, then `first`."""
        newest = {**self.worst_at, **dict.fromkeys(worst, step)}
        ranked = sorted(newest, key=lambda name: -newest[name])
        kept = dict.fromkeys((*ranked, *first))
        return Remembered({name: newest.get(name, -1) for name in list(kept)[:most]})


def remembered_in(run_dir: Path) -> Remembered:
    """Return the samples that the newest validation of the run remembers; none before the first."""
    steps = strip_steps(run_dir)
    found = read_strip(run_dir, steps[-1]) if steps else ()
    return Remembered({small.sample_id: small.worst_at for small in found if small.worst_at >= -1})


def error_text(error: float) -> str:
    """Return an error as it is shown; an empty string for a sample without one."""
    return "" if math.isnan(error) else f"{error:.3f}"
