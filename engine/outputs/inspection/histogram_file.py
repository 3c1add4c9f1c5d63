"""Histograms of a layer at one step: `histograms/step-XXXXXXXX-LAYER.json` of a run, read without torch."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from engine.journal.disk.run_dir import HISTOGRAMS
from engine.outputs.inference.whole_file import write_whole
from engine.protocol.codec import WireError, from_json, from_text, to_text
from engine.protocol.record import record

MAX_HISTOGRAMS: Final = 200
"""Number of newest files that a run keeps."""
_NAME: Final = re.compile(r"step-(\d{8,})-.*\.json")
_MAX_LABEL: Final = 80


@record
class Histogram:
    """The distribution of `count` values. NaN and infinite ones are counted apart, and are in no other number.

    `bins` are equal parts of the range from `low` to `high`. `magnitudes` are equal parts of the decimal logarithms of
    absolute values, from `low_exponent` to `high_exponent`, without zeros. A number without a value is NaN.
    """

    count: int
    zeros: int
    nans: int
    infinities: int
    low: float
    high: float
    mean: float
    std: float
    sum_of_squares: float
    bins: tuple[int, ...]
    low_exponent: float
    high_exponent: float
    magnitudes: tuple[int, ...]


@record
class LayerHistograms:
    """A layer at the end of the backward pass of step `step` (from 1): weights before the update, gradients, outputs.

    `missing` has the reason for each kind without a histogram.
    """

    layer: str
    step: int
    weights: Histogram | None
    gradients: Histogram | None
    activations: Histogram | None
    missing: Mapping[str, str]

    def kinds(self) -> Iterator[tuple[str, Histogram | None]]:
        """Yield the kinds by name, in display order."""
        yield "weights", self.weights
        yield "gradients", self.gradients
        yield "activations", self.activations


def histogram_path(run_dir: Path, layer: str, step: int) -> Path:
    """Return the file of a layer at a step. A name that no file can have is shortened, with a part that tells it."""
    label = re.sub(r"[^\w.-]", "_", layer, flags=re.ASCII)
    if label != layer or len(label) > _MAX_LABEL:
        label = f"{label[:_MAX_LABEL]}-{hashlib.sha256(layer.encode('utf-8', 'replace')).hexdigest()[:8]}"
    return run_dir / HISTOGRAMS / f"step-{step:08d}-{label}.json"


def write_histograms(run_dir: Path, taken: LayerHistograms) -> Path:
    """Write the file, delete the oldest ones, and return the path. Raises OSError."""
    path = histogram_path(run_dir, taken.layer, taken.step)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_whole(path, to_text(taken).encode())
    for old in _files(run_dir)[:-MAX_HISTOGRAMS]:
        old.unlink(missing_ok=True)
    return path


def kept_histograms(run_dir: Path) -> list[LayerHistograms]:
    """Return all histograms of the run by step, the oldest first. Unreadable files are left out."""
    found: list[LayerHistograms] = []
    for path in _files(run_dir):
        with suppress(OSError, UnicodeDecodeError, WireError):
            found.append(from_json(LayerHistograms, from_text(path.read_text(encoding="utf-8"))))
    return found


def _files(run_dir: Path) -> list[Path]:
    """Return the files by step; those of one step by time."""
    try:
        found = [path for path in (run_dir / HISTOGRAMS).iterdir() if _NAME.fullmatch(path.name)]
        return sorted(found, key=lambda path: (int(path.name.split("-")[1]), path.stat().st_mtime_ns, path.name))
    except OSError:
        return []
