"""States of runs that tests of several folders use."""

from __future__ import annotations

from typing import Any

from engine.protocol.state import RunState
from engine.protocol.task_spec import Component, Phase, TaskSpec
from engine.tasks.person.spec import SPEC


def person_state(run: str = "r", **fields: Any) -> RunState:
    """A state that knows the person task."""
    return RunState(run, **{"spec": SPEC, **fields})


RIVALRY = RunState(
    "r",
    spec=TaskSpec(
        components=(Component("coarse", excludes=("fine",)), Component("fine")),
        phases=(Phase("base"), Phase("detail", ("fine",))),
    ),
    refinements=frozenset({"coarse"}),
)
"""The next phase adds a component that one which is on excludes."""
