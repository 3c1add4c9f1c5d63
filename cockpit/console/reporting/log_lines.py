"""Select the events of a run that the console prints, and format each as one line."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from rich.text import Text

from cockpit.session.incidents.incident import Incident
from cockpit.session.incidents.incidents import Incidents
from cockpit.text.event_info import Severity
from cockpit.text.event_text import info_of, sentence, severity
from cockpit.text.format import escape_control
from engine.journal.reader import Entry
from engine.protocol import events as e
from engine.protocol.commands import ENGINE
from engine.protocol.events import Status
from engine.protocol.task_spec import TaskSpec

_IN_FULL: Final = 10
_STYLES: Final = {
    Severity.ALERT: "bold red",
    Severity.RESULT: "bold",
    Severity.INTERVENTION: "cyan",
    Severity.PROGRESS: "",
}


class LogLines:
    """Formats entries as lines, with the time of day if `timed`; `quiet` keeps results and alerts only.

    Of a frequent kind the first ten are printed, then every tenth, hundredth and so on. An alert that joins an incident
    is shortened: its cause and its remedy were printed when the incident began.
    """

    def __init__(self, *, quiet: bool = False, timed: bool = False) -> None:
        self._quiet = quiet
        self._timed = timed
        self._counts: Counter[type[Any]] = Counter()
        self._incidents = Incidents()

    def skip(self, entries: Iterable[Entry]) -> None:
        """Take entries of an earlier process: alerts are numbered and grouped with them, but they are not printed."""
        self._incidents.add(entries)

    def of(self, entries: Iterable[Entry], spec: TaskSpec) -> Iterator[Text]:
        """Yield the lines of `entries`, oldest first, of a run of the task `spec`."""
        for entry in entries:
            began = self._incidents.add((entry,))
            if self._is_wanted(entry):
                line = self._line(entry, spec, began)
                yield with_time(line, entry.time) if self._timed else line

    def _line(self, entry: Entry, spec: TaskSpec, began: Sequence[Incident]) -> Text:
        """Return the line of `entry`: with the cause of the incident it began, or the number of the one it joins."""
        number = self._incidents.numbers.get(entry.id)
        if number is None or not isinstance(entry.event, e.AlertRaised):
            return entry_line(entry, spec, note=self._thinning(entry))
        if not began:
            said = f"alert {number} grows: {entry.event.kind}: {entry.event.message}"
            return Text(escape_control(f"step {entry.step}  ! {said}"), _STYLES[Severity.ALERT])
        cause = began[0].cause
        return entry_line(entry, spec, note=f"; likely cause: {cause.text}" if cause is not None else "")

    def _is_wanted(self, entry: Entry) -> bool:
        matter = severity(entry)
        if matter is Severity.SILENT or (self._quiet and matter not in (Severity.RESULT, Severity.ALERT)):
            return False
        kind = type(entry.event)
        self._counts[kind] += 1
        return not info_of(entry.event).is_frequent or self._counts[kind] % _stride(self._counts[kind]) == 0

    def _thinning(self, entry: Entry) -> str:
        count = self._counts[type(entry.event)]
        return f" (number {count})" if info_of(entry.event).is_frequent and count >= _IN_FULL else ""


def with_time(line: Text, when: float) -> Text:
    """Return `line` after the time of day `when` (seconds since 1970), such as 14:03:59."""
    return Text(time.strftime("%H:%M:%S  ", time.localtime(when)), "dim").append_text(line)


def entry_line(entry: Entry, spec: TaskSpec, *, note: str = "") -> Text:
    """Return one event as a line: its step, its actor, its sentence, and the status of a command."""
    who = "" if entry.actor == ENGINE else f"{escape_control(entry.actor)}: "
    ending = "" if entry.status in (Status.NOTED, Status.APPLIED) else f" [{entry.status.value}]"
    reason = f" ({escape_control(entry.reason)})" if entry.reason else ""
    matter = severity(entry)
    mark = "! " if matter is Severity.ALERT else ""
    line = f"step {entry.step}  {mark}{who}{sentence(entry.event, spec)}{ending}{reason}{note}"
    return Text(line, _STYLES.get(matter, ""))


def _stride(count: int) -> int:
    stride = 1
    while count > _IN_FULL * stride:
        stride *= 10
    return stride
