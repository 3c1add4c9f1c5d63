"""Descriptions of a run in the journal's metadata, so that any reader can show any run.

They are the spec of its task, the program of an attached run, whose training a foreign program drives, and the parent
of a branch.
"""

from __future__ import annotations

import os.path
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Final

from engine.journal.disk.run_dir import renamed_run
from engine.protocol.codec import Json, WireError, from_json
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


@dataclass(frozen=True, slots=True)
class Attached:
    """The adapter and the program of an attached run. `resume` is how the run goes on; empty if it cannot."""

    adapter: str
    program: str
    resume: str = ""


PARENT: Final = "parent"
"""The key of `Parent` in the meta table; absent for a run that began by itself."""


@dataclass(frozen=True, slots=True)
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


def parent_of(stored: Json) -> Parent | None:
    """Return the parent that `stored` describes; `None` for a run that began by itself, or if it is unreadable."""
    try:
        return from_json(Parent, stored)
    except WireError:
        return None


def attached_of(stored: Json) -> Attached | None:
    """Return what `stored` says of an attached run; `None` for a run of a task, or if it is unreadable."""
    try:
        return from_json(Attached, stored)
    except WireError:
        return None


def spec_of(stored: Json) -> TaskSpec:
    """Return the spec that `stored` describes; the first task's for `None` or an unreadable spec."""
    try:
        return spec_from_json(stored)
    except WireError:
        spec: TaskSpec = import_module(_BEFORE_TASKS).SPEC
        return spec
