"""The spec of a run's task in the journal's metadata, so that any reader can show any run.

An attached run, whose training is driven by a foreign program, names the program here.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Final

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
