"""Find mistakes in a task's pictures before the first step, by trying them on a batch of the validation split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast, get_args

import numpy as np
from torch import Tensor

from engine.config.tree import RunConfig
from engine.errors import UserError
from engine.outputs.preview_file import Kind, Plane, Preview, plane_key
from engine.task import HasPreviews, HasSampleErrors, Task, Tensors


def check_previews(task: Task, config: RunConfig, outputs: Any, batch: Tensors, sample_ids: Sequence[str]) -> None:
    """Raise UserError if the task's errors of samples or its pictures are not what they must be."""
    if isinstance(task, HasSampleErrors):
        errors: Any = task.sample_errors(outputs, batch, config)
        if not isinstance(errors, Tensor):
            raise UserError(f"sample_errors() returns a {type(errors).__name__}: return a tensor, a number per sample")
        if (shape := tuple(errors.shape)) != (len(sample_ids),):
            raise UserError(f"sample_errors() must return one number per sample, not the shape {shape}")
    if isinstance(task, HasPreviews) and config.validation.num_previews:
        previews = tuple(task.preview(outputs, batch, name, row) for row, name in enumerate(sample_ids))
        if mistake := next((mistake for preview in previews for mistake in _mistakes(preview)), ""):
            raise UserError(f"preview() returns {mistake}")
        grid: Any = task.preview_grid(previews)
        if not (_is_array(grid) and grid.ndim == 3 and grid.shape[2] in (1, 3) and grid.dtype == np.uint8):
            raise UserError("preview_grid() must return one picture as an array of uint8: (height, width, 3)")


# `Any`: tasks have no common base class.
def _mistakes(preview: Any) -> Iterator[str]:
    if not isinstance(preview, Preview):
        yield f"a {type(preview).__name__}: return Preview(sample_id, planes)"
        return
    planes = cast(Sequence[Any], preview.planes)
    if odd := [type(plane).__name__ for plane in planes if not isinstance(plane, Plane)]:
        yield f"a {odd[0]} among the planes, which is no Plane"
        return
    if len({plane_key(plane) for plane in planes}) < len(planes):
        yield "two planes with the same name and kind"
    for plane in planes:
        is_rgb = plane.kind == "rgb"
        if plane.kind not in get_args(Kind):
            yield f"the plane {plane.name!r} of the kind {plane.kind!r}: there are {', '.join(get_args(Kind))}"
        elif not (_is_array(plane.values) and plane.values.ndim == 2 + is_rgb and plane.values.shape[2:] in ((), (3,))):
            shape = "(height, width, 3)" if is_rgb else "(height, width)"
            yield f"the plane {plane.name!r} of the kind {plane.kind!r} not as an array of uint8 with the shape {shape}"
    if len({plane.values.shape for plane in planes if plane.kind == "classes"}) > 1:
        yield "planes of classes that differ in size"


def _is_array(values: Any) -> bool:
    """Return whether the values are an array, not empty, of 0..255."""
    return isinstance(values, np.ndarray) and values.size > 0 and np.can_cast(values.dtype, np.uint8, "safe")
