"""The arguments of the tools for agents, and the circumstances of a call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from engine.errors import UserError
from engine.journal.disk.find_run import find_run
from engine.protocol.codec import Json
from engine.protocol.record import record

MAX_ROWS = 1_000
MAX_EVENTS = 500
MAX_RUNS = 200
MAX_WAIT_SECONDS = 60.0
MAX_DIAGNOSE_SECONDS = 600.0

RunName = Annotated[
    str,
    Field(description="The run's name as list_runs gives it, or `latest` for the run that was started last."),
]


class Arguments(BaseModel):
    """Base of all arguments: an unknown name is an error."""

    model_config = ConfigDict(extra="forbid")


class ListRunsArguments(Arguments):
    """Arguments of list_runs."""

    last: Annotated[int, Field(ge=1, le=MAX_RUNS, description="How many runs to list, the latest first.")] = 20


class StatusArguments(Arguments):
    """Arguments of status."""

    run: RunName = "latest"


class MetricsArguments(Arguments):
    """Arguments of metrics."""

    run: RunName = "latest"
    keys: Annotated[
        list[str] | None,
        Field(
            description="Names of metrics, such as ['loss/total', 'val/loss']. Leave it out for an overview of every "
            "metric (its last, least and greatest value, and its counts), which also tells you the names."
        ),
    ] = None
    since: Annotated[
        int | None,
        Field(ge=0, description="Only steps above this one, oldest first. Leave it out for the newest steps."),
    ] = None
    last: Annotated[int, Field(ge=1, le=MAX_ROWS, description="The maximum number of rows (steps).")] = 50


class EventsArguments(Arguments):
    """Arguments of events."""

    run: RunName = "latest"
    since: Annotated[
        int | None,
        Field(
            ge=0,
            description="Only events with an `id` above this one, oldest first: pass the `newest_id` of your last "
            "call to get what is new. Leave it out for the newest events.",
        ),
    ] = None
    kinds: Annotated[
        list[str] | None,
        Field(description="Only these kinds, such as ['alert_raised', 'phase_promoted', 'lr_scaled', 'run_failed']."),
    ] = None
    last: Annotated[int, Field(ge=1, le=MAX_EVENTS, description="The maximum number of events.")] = 50


class WaitArguments(Arguments):
    """Arguments of wait."""

    run: RunName = "latest"
    until: Annotated[
        str,
        Field(
            description="A condition such as 'phase>=2 or nan>0 or score>.5'. It compares step, epoch, phase, loss, "
            "grad_norm, lr, score, best, nan (skipped steps), alerts, spikes or any metric (val/loss) with a number, "
            "or activity with a word (activity==paused); join comparisons by and, or, not and parentheses."
        ),
    ]
    timeout: Annotated[
        float,
        Field(gt=0, le=MAX_WAIT_SECONDS, description="Seconds to wait at most; call again to wait longer."),
    ] = 30.0


class DiagnoseArguments(Arguments):
    """Arguments of diagnose."""

    run: RunName = "latest"
    step: Annotated[
        int | None, Field(ge=0, description="The step of a recorded fault. Leave it out for the newest one.")
    ] = None
    timeout: Annotated[
        float, Field(gt=0, le=MAX_DIAGNOSE_SECONDS, description="Seconds that the replay may take at most.")
    ] = 120.0


class SendArguments(Arguments):
    """Arguments of send."""

    run: RunName = "latest"
    command: Annotated[
        str, Field(description="The command's word, such as lower-lr; see the list in this tool's description.")
    ]
    arguments: Annotated[
        list[str | int | float | bool],
        Field(description="The command's arguments in order, such as [0.5] for lower-lr or [8] for set-accumulation."),
    ] = []
    dry_run: Annotated[
        bool, Field(description="Only predict the outcome in the run's present state; nothing is sent.")
    ] = False
    reason: Annotated[
        str,
        Field(
            max_length=500,
            description="Why you send it, in one sentence; people read it in the run's journal. Required unless "
            "dry_run is true.",
        ),
    ] = ""
    timeout: Annotated[
        float,
        Field(gt=0, le=MAX_WAIT_SECONDS, description="Seconds to wait for the outcome at most."),
    ] = 20.0


@record
class Caller:
    """The circumstances of a call: the directory of the runs, the right to steer, the actor, and its cancellation."""

    runs_dir: Path
    can_steer: bool
    actor: str = "agent"
    is_cancelled: Callable[[], bool] = lambda: False

    def find(self, name: str, *, to_write: bool = False) -> Path:
        """Return the directory of the run called `name`. Raises UserError for any path out of `runs_dir`."""
        if "/" in name or name in (".", ".."):
            raise UserError(f"{name!r} is a path: give a run's name, as list_runs does, or latest")
        return find_run(self.runs_dir, name, to_write=to_write)


@record
class AgentTool:
    """One tool: its name and title, the text that tells a model how to use it, its arguments and its function.

    `call` takes an instance of `arguments` and the circumstances. `changes` says whether the tool changes a run.
    """

    name: str
    title: str
    description: str
    arguments: type[Arguments]
    call: Callable[[Any, Caller], dict[str, Json]]
    changes: bool = False

    def read(self, given: Mapping[str, object]) -> Arguments:
        """Return the arguments of a call. Raises pydantic's ValidationError."""
        return self.arguments.model_validate(given)
