"""Look up events in the registry: one `EventInfo` for each class, read by every list, chart and dialog."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from cockpit.text.event_info import AnyEventInfo, Severity
from cockpit.text.events.faults import FAULT_FACTS
from cockpit.text.events.progress import PROGRESS_FACTS
from cockpit.text.events.requests import REQUEST_EVENTS
from cockpit.text.events.settings import SETTING_EVENTS
from cockpit.text.events.switches import SWITCH_EVENTS
from cockpit.text.format import escape_control
from engine.journal.reader import Entry
from engine.protocol.events import AlertRaised, Event, Status
from engine.protocol.task_spec import TaskSpec

REGISTRY: Final[tuple[AnyEventInfo, ...]] = (
    *REQUEST_EVENTS,
    *SETTING_EVENTS,
    *SWITCH_EVENTS,
    *PROGRESS_FACTS,
    *FAULT_FACTS,
)
"""The entries of all event classes."""

_BY_KIND: Final[Mapping[type[Any], AnyEventInfo]] = MappingProxyType({info.kind: info for info in REGISTRY})


def info_of(event: Event) -> AnyEventInfo:
    """Return the registry entry of the class of `event`."""
    return _BY_KIND[type(event)]


def sentence(event: Event, spec: TaskSpec) -> str:
    """Return `event` of a run of the task `spec` as one line; control characters in foreign text are escaped."""
    return escape_control(info_of(event).text(event, spec))


def is_information(event: Event) -> bool:
    """Return whether `event` is the alert of a rule that asks for no attention."""
    return isinstance(event, AlertRaised) and event.severity == "info"


def severity(entry: Entry) -> Severity:
    """Return how much `entry` matters: the answer to a command at least as much as an intervention."""
    of_kind = Severity.RESULT if is_information(entry.event) else info_of(entry.event).severity
    is_answer = entry.status is not Status.NOTED
    return Severity.INTERVENTION if is_answer and of_kind in (Severity.PROGRESS, Severity.SILENT) else of_kind
