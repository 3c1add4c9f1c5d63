"""Descriptions of a run in the journal's metadata, so that any reader can show any run.

They are the spec of its task, the program of an attached run, whose training a foreign program drives, and the parent
of a branch. They are also the layers that are measured.
"""

from __future__ import annotations

import os.path
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Final

from engine.journal.disk.find_run import renamed_run
from engine.protocol.codec import Json, WireError, from_json
from engine.protocol.record import record
from engine.protocol.task_spec import TaskSpec
from engine.protocol.wire import spec_from_json

TASK: Final = "task"
"""The key of the task's spec in the meta table."""

HAS_PREVIEWS: Final = "has_previews"
"""The key of whether the task has previews in the meta table; absent in earlier journals."""

_BEFORE_TASKS: Final = "engine.tasks.person.spec"
"""The module whose SPEC describes journals without a spec, which are from a time with only one task."""


ATTACHED: Final = "attached"
"""The key of `Attached` in the meta table; absent for a run of a task."""


RECORDED_FROM: Final = "# Recorded from "
"""The first words of an attached run's configuration file, which is the program's and not a task's."""


@record
class Attached:
    """The adapter and the program of an attached run. `resume` is how the run goes on; empty if it cannot."""

    adapter: str
    program: str
    resume: str = ""


LAYERS_META: Final = "layers"
"""The key of `LayersMeta` in the meta table; absent if no layer was ever measured."""

LAYER_PREFIX: Final = "layer/"
GRAD_NORM, GRAD_ZEROS, WEIGHT_NORM, UPDATE_RATIO = "grad_norm", "grad_zeros", "weight_norm", "update_ratio"
PARAMETER_MEASURES: Final = (GRAD_NORM, GRAD_ZEROS, WEIGHT_NORM, UPDATE_RATIO)
"""The numbers of each parameter, in the order of a row."""
ACT_ZEROS: Final = "act_zeros"
"""The number of each module: the share of zeros in its output."""


def layer_metric(layer: str, measure: str) -> str:
    """Return the metric of one number of a layer: layer/encoder.weight/grad_norm."""
    return f"{LAYER_PREFIX}{layer}/{measure}"


def layer_of(metric: str) -> tuple[str, str]:
    """Return the layer and the measure of a metric; both are empty strings for a metric of another kind."""
    layer, _, measure = metric.removeprefix(LAYER_PREFIX).rpartition("/")
    return (layer, measure) if metric.startswith(LAYER_PREFIX) else ("", "")


@record
class LayersMeta:
    """Steps between two measurements of the layers, and the number of values of each parameter by name."""

    every_steps: int
    sizes: Mapping[str, int]


PARENT: Final = "parent"
"""The key of `Parent` in the meta table; absent for a run that began by itself."""


@record
class Parent:
    """The origin of a branch: the run, the step and the checkpoint file from which it began.

    `directory` is the parent's directory relative to that of the branch; `checkpoint` is relative to the parent's
    folder of checkpoints.
    """

    run: str
    step: int
    checkpoint: str
    directory: str

    @classmethod
    def at(cls, run_dir: Path, step: int, checkpoint: str, *, child: Path) -> Parent:
        """Return the parent in `run_dir` of the branch in the directory `child`."""
        directory = os.path.relpath(run_dir.resolve(), child.resolve())
        return cls(run_dir.resolve().name, step, checkpoint, directory)

    @property
    def said(self) -> str:
        """Return the origin in words."""
        return f"branch of {self.run} at step {self.step}"

    def path(self, child: Path) -> Path:
        """Return the parent's directory, also if it was renamed; it may be gone. `child` is that of the branch."""
        path = Path(os.path.normpath(child.resolve() / self.directory))
        return path if path.exists() else renamed_run(path) or path


def parent_of(stored: Json, child: Path | None = None) -> Parent | None:
    """Return the parent that `stored` describes; `None` for a run that began by itself, or if it is unreadable.

    Given the directory of the branch, `child`, a parent that was renamed has its present name.
    """
    try:
        parent = from_json(Parent, stored)
    except WireError:
        return None
    return parent if child is None else replace(parent, run=parent.path(child).name)


def attached_of(stored: Json) -> Attached | None:
    """Return what `stored` says of an attached run; `None` for a run of a task, or if it is unreadable."""
    try:
        return from_json(Attached, stored)
    except WireError:
        return None


def layers_of(stored: Json) -> LayersMeta | None:
    """Return what `stored` says of measured layers; `None` if none were, or if it is unreadable."""
    try:
        return from_json(LayersMeta, stored)
    except WireError:
        return None


def spec_of(stored: Json) -> TaskSpec:
    """Return the spec that `stored` describes; the first task's for `None` or an unreadable spec."""
    try:
        return spec_from_json(stored)
    except WireError:
        spec: TaskSpec = import_module(_BEFORE_TASKS).SPEC
        return spec
