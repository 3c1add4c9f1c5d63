"""Print events of a run as one line each, and thin out those that repeat thousands of times."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from rich.text import Text

from cockpit.session.incidents.incidents import Incident, Incidents
from cockpit.text.event_text import EventSeverity, sentence, weight
from cockpit.text.format import escape_control
from engine.journal.reader import Entry
from engine.protocol import events as e
from engine.protocol.events import Status

_FLOODS: Final = (e.StepSkipped, e.SampleRejected)
_IN_FULL: Final = 10
_STYLES: Final = {
    EventSeverity.ALERT: "bold red",
    EventSeverity.RESULT: "bold",
    EventSeverity.INTERVENTION: "cyan",
    EventSeverity.PROGRESS: "",
}


class LogLines:
    """Turns entries into lines, with the time of day if `timed`. `quiet` keeps only results and alerts.

    Of the kinds that can come in thousands, the first ten are printed and then every tenth, hundredth and so on.
    An alert that adds to a known incident is printed in a short form.
    """

    def __init__(self, *, quiet: bool = False, timed: bool = False) -> None:
        self._quiet = quiet
        self._timed = timed
        self._counts: Counter[type[Any]] = Counter()
        self._incidents = Incidents()

    def skip(self, entries: Iterable[Entry]) -> None:
        """Take entries of an earlier process: alerts are numbered and grouped with them, but they are not printed."""
        self._incidents.add(entries)

    def of(self, entries: Iterable[Entry]) -> Iterator[Text]:
        """Return the lines for `entries`, oldest first."""
        for entry in entries:
            began = self._incidents.add((entry,))
            if self._is_wanted(entry):
                line = self._line(entry, began)
                yield with_time(line, entry.time) if self._timed else line

    def _line(self, entry: Entry, began: Sequence[Incident]) -> Text:
        """Return the line of an entry; for an alert with its likely cause, or the incident that it adds to."""
        number = self._incidents.numbers.get(entry.id)
        if number is None or not isinstance(entry.event, e.AlertRaised):
            return entry_line(entry, note=self._thinning(entry))
        if not began:
            said = f"alert {number} grows: {entry.event.kind}: {entry.event.message}"
            return Text(escape_control(f"step {entry.step}  ! {said}"), _STYLES[EventSeverity.ALERT])
        cause = began[0].cause
        return entry_line(entry, note=f"; likely cause: {cause.text}" if cause is not None else "")

    def _is_wanted(self, entry: Entry) -> bool:
        matter = _weight_of(entry)
        if matter is EventSeverity.SILENT or (
            self._quiet and matter not in (EventSeverity.RESULT, EventSeverity.ALERT)
        ):
            return False
        kind = type(entry.event)
        self._counts[kind] += 1
        return kind not in _FLOODS or self._counts[kind] % _stride(self._counts[kind]) == 0

    def _thinning(self, entry: Entry) -> str:
        count = self._counts[type(entry.event)]
        return f" (number {count})" if isinstance(entry.event, _FLOODS) and count >= _IN_FULL else ""


def with_time(line: Text, when: float) -> Text:
    """Return `line` after the time of day `when` (seconds since 1970): 14:03:59."""
    return Text(time.strftime("%H:%M:%S  ", time.localtime(when)), "dim").append_text(line)


def entry_line(entry: Entry, *, note: str = "") -> Text:
    """Return the line of one event: its step, the actor, the sentence, and the outcome of a command."""
    who = "" if entry.actor == "engine" else f"{escape_control(entry.actor)}: "
    ending = "" if entry.status in (Status.NOTED, Status.APPLIED) else f" [{entry.status.value}]"
    reason = f" ({escape_control(entry.reason)})" if entry.reason else ""
    matter = _weight_of(entry)
    mark = "! " if matter is EventSeverity.ALERT else ""
    line = f"step {entry.step}  {mark}{who}{sentence(entry.event)}{ending}{reason}{note}"
    return Text(line, _STYLES.get(matter, ""))


def _weight_of(entry: Entry) -> EventSeverity:
    """Return the severity of an event; one that a command caused is an intervention, unless it is a result."""
    matter = weight(entry.event)
    if entry.status is not Status.NOTED and matter in (EventSeverity.PROGRESS, EventSeverity.SILENT):
        return EventSeverity.INTERVENTION
    return matter


def _stride(count: int) -> int:
    stride = 1
    while count > _IN_FULL * stride:
        stride *= 10
    return stride
