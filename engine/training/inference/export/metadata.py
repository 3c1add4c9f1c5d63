"""The description that an exported file holds: its run, its inputs and outputs, and how an application uses them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import closing, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from engine.errors import UserError
from engine.journal.disk.run_dir import CHECKPOINTS, has_journal
from engine.journal.reader import JournalReader
from engine.outputs.inference.export_report import SCHEMA, ExportRequest, Format
from engine.training.inference.export.network import Exportable
from engine.training.inference.trained_model import TrainedModel

_PACKAGES: Final[Mapping[Format, tuple[str, ...]]] = {
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "torchscript": (),
    "safetensors": ("safetensors",),
}


def description(trained: TrainedModel, request: ExportRequest, exported: Exportable | None) -> dict[str, Any]:
    """Return the description of a file as JSON; the inputs and outputs of a network unless `exported` is `None`."""
    run = run_dir_of(trained.checkpoint)
    found: dict[str, Any] = {
        "schema": SCHEMA,
        "versions": versions(request),
        "task": trained.task.spec.name,
        "run": run.name if run else "",
        "checkpoint": trained.checkpoint.name,
        "step": trained.step,
        "weights": trained.weights,
        "components": sorted(trained.components),
        "scores": scores(run, trained.step) if run else {},
        "int8": request.int8,
    }
    if exported is not None:
        inputs = zip(exported.network.input_names, exported.examples, strict=True)
        found["inputs"] = [_tensor(name, value) for name, value in inputs]
        found["outputs"] = [_tensor(name, value) for name, value in exported.outputs.items()]
        if taken := found.keys() & exported.plan.metadata:
            raise UserError(
                f"export_plan() returns the metadata {min(taken)!r}, which each file has: take another name"
            )
        found |= exported.plan.metadata
    return found


def run_dir_of(checkpoint: Path) -> Path | None:
    """Return the directory of the run that has this checkpoint; `None` for a file elsewhere."""
    run_dir = checkpoint.resolve().parent.parent
    return run_dir if checkpoint.resolve().parent.name == CHECKPOINTS and has_journal(run_dir) else None


def scores(run_dir: Path, step: int) -> dict[str, float]:
    """Return the finite metrics of a run's validation at `step`; empty if there was none, or no readable journal."""
    with suppress(UserError), closing(JournalReader(run_dir)) as reader:
        names = [name for name in reader.metric_names() if name.startswith("val/")]
        series = reader.series(names, first=step, last=step)
        values = {name: float(series.values[name][-1]) for name in names if len(series.steps)}
        return {name: value for name, value in values.items() if math.isfinite(value)}
    return {}


def versions(request: ExportRequest) -> dict[str, str]:
    """Return the version of each program that made the file."""
    packages = {name: version(name) for name in _PACKAGES[request.format]}
    return {"training-cockpit": request.version, "torch": torch.__version__, **packages}


def _tensor(name: str, example: Tensor) -> dict[str, Any]:
    return {"name": name, "shape": ["N", *example.shape[1:]], "dtype": str(example.dtype).removeprefix("torch.")}
