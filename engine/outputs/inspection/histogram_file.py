"""Histograms of a layer at one step: `histograms/step-XXXXXXXX-LAYER.json` of a run, read without torch."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from pathlib import Path
from typing import Final

from engine.journal.disk.run_dir import HISTOGRAMS
from engine.outputs.inference.whole_file import write_whole
from engine.outputs.inspection.layer_histograms import LayerHistograms
from engine.protocol.codec import WireError, from_json, from_text, to_text

MAX_HISTOGRAMS: Final = 200
"""Number of newest files that a run keeps."""
_NAME: Final = re.compile(r"step-(\d{8,})-.*\.json")
_MAX_LABEL: Final = 80


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
