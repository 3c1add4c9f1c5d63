"""The registry entries of the events that pause, continue or end a run or ask for one action, and of refusals."""

from __future__ import annotations

from typing import Final

from cockpit.text.event_info import AnyEventInfo, EventInfo, MarkKind, Severity
from cockpit.text.format import on_off
from engine.protocol import events as e
from engine.protocol.task_spec import TaskSpec

_NOT_REVERSED: Final = "what was done last is not taken back"


def _more_steps(event: e.StepsGranted, more: str = "") -> str:
    return f"{event.after}{more} step{'' if event.after == 1 else 's'}, then pause"


def _refused(event: e.CommandRefused, spec: TaskSpec) -> str:
    return " ".join(word for word in (event.op, *map(_argument, event.args.items())) if word)


def _argument(named: tuple[str, object]) -> str:
    """Return one argument of a command, by its name, as it is written."""
    name, value = named
    if name == "force":
        return "--force" if value else ""
    return on_off(value) if isinstance(value, bool) else str(value)


REQUEST_EVENTS: Final[tuple[AnyEventInfo, ...]] = (
    EventInfo(
        e.Paused,
        lambda event, spec: "paused",
        short=lambda event: f"{event.before} -> paused",
    ),
    EventInfo(
        e.Resumed,
        lambda event, spec: "resumed",
        short=lambda event: f"{event.before} -> running",
    ),
    EventInfo(
        e.StepsGranted,
        lambda event, spec: _more_steps(event, " more"),
        short=_more_steps,
    ),
    EventInfo(
        e.CheckpointRequested,
        lambda event, spec: "checkpoint asked for",
        short=lambda event: "written at the step boundary",
        severity=Severity.SILENT,
    ),
    EventInfo(
        e.RollbackRequested,
        lambda event, spec: f"rollback to {event.checkpoint} asked for",
        short=lambda event: f"to {event.checkpoint}, steering kept",
        severity=Severity.SILENT,
        undo=lambda event: _NOT_REVERSED,
    ),
    EventInfo(
        e.ValidationRequested,
        lambda event, spec: "validation asked for",
        short=lambda event: "runs at the step boundary, training waits for it",
        severity=Severity.SILENT,
    ),
    EventInfo(
        e.HistogramRequested,
        lambda event, spec: f"histograms of {event.layer} will be taken at the next step",
        short=lambda event: f"of {event.layer}, taken at the next step",
        severity=Severity.SILENT,
    ),
    EventInfo(
        e.NoteAdded,
        lambda event, spec: f"note: {event.text}",
        mark=MarkKind.NOTE,
    ),
    EventInfo(
        e.StopRequested,
        lambda event, spec: f"stopping: {event.reason}",
        undo=lambda event: _NOT_REVERSED,
    ),
    EventInfo(e.CommandRefused, _refused),
)
