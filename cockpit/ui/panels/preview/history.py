"""The predictions of one sample over the validations of a run, read from its small pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cockpit.text.format import decimal
from cockpit.ui.panels.preview.layers import Layer, Palette, layer_of
from engine.outputs.inspection.strip_file import Thumbnail, read_strip, strip_path, strip_steps
from engine.outputs.preview_file import TRUTH, Plane, Preview

Moment = tuple[int, Thumbnail]
"""The step of a validation, and a sample's small picture there."""


class History:
    """The small pictures of the run in `run_dir`; each file is read once, and again if it changes."""

    def __init__(self, run_dir: Path | None = None) -> None:
        self._run_dir = run_dir
        self._read: dict[tuple[int, int], dict[str, Thumbnail]] = {}

    def of(self, sample_id: str) -> tuple[Moment, ...]:
        """Return the sample's picture at each validation that remembers it, with the step, in ascending order."""
        run_dir = self._run_dir
        if run_dir is None:
            return ()
        known, self._read = self._read, {}
        for step in strip_steps(run_dir):
            key = (step, _changed_at(strip_path(run_dir, step)))
            found = known.get(key)
            self._read[key] = (
                {small.sample_id: small for small in read_strip(run_dir, step)} if found is None else found
            )
        return tuple((step, found[sample_id]) for (step, _), found in self._read.items() if sample_id in found)


def _changed_at(path: Path) -> int:
    """Return the time of a file's last change in nanoseconds; 0 if it is gone."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def strip_layers(moments: Sequence[Moment], preview: Preview, palette: Palette) -> tuple[Layer, ...]:
    """Return a sample's predictions over time as layers named by step and error, and at the end the truth."""
    image = next((plane.values for plane in preview.planes if plane.kind == "rgb"), None)

    def layer(name: str, plane: Plane) -> Layer:
        size = plane.values.shape[:2]
        image_HWC = np.zeros((*size, 3), np.uint8) if image is None else image
        return layer_of(Plane(name, plane.kind, plane.values), image_HWC, palette)

    layers = [layer(_title(step, small.error), small.plane) for step, small in moments]
    truth = preview.plane(TRUTH, "classes")
    if layers and truth is not None:
        layers.append(layer(TRUTH, Plane(TRUTH, "classes", truth)))
    return tuple(layers)


def _title(step: int, error: float) -> str:
    return f"{step}" if math.isnan(error) else f"{step} {error:.2f}"


def learned(moments: Sequence[Moment]) -> str:
    """Return how the error of a sample went over the validations; an empty string without errors."""
    errors = [(small.error, step) for step, small in moments if not math.isnan(small.error)]
    if not errors:
        return ""
    if len(errors) == 1:
        return f"{decimal(errors[0][0], 3)} at step {errors[0][1]}"
    (first, begin), (last, end), (best, at) = errors[0], errors[-1], min(errors)
    first, last, best = (decimal(error, 3) for error in (first, last, best))
    return f"{first} at step {begin} -> {last} at step {end}, best {best} at step {at}"
