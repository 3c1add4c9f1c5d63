"""States of runs of the person task."""

from __future__ import annotations

from typing import Any

from engine.protocol.state import RunState
from engine.tasks.person.spec import SPEC


def person_state(run: str = "r", **fields: Any) -> RunState:
    """A state that knows the person task."""
    return RunState(run, **{"spec": SPEC, **fields})
