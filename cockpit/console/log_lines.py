"""Which events of a run are printed, and how: one line each, floods thinned out."""

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
    """Turns entries into lines, `timed` ones for a log. `quiet` keeps results and alerts only.

    Of the kinds that can come in thousands, the first ten are printed and then every tenth, hundredth and so on.
    An alert that an incident grows by is said in short: what it says beyond that is known.
    """

    def __init__(self, *, quiet: bool = False, timed: bool = False) -> None:
        self._quiet = quiet
        self._timed = timed
        self._counts: Counter[type[Any]] = Counter()
        self._incidents = Incidents()

    def of(self, entries: Iterable[Entry]) -> Iterator[Text]:
        """The lines for `entries`, oldest first."""
        for entry in entries:
            began = self._incidents.add((entry,))
            if self._is_wanted(entry):
                line = self._line(entry, began)
                yield with_time(line, entry.time) if self._timed else line

    def _line(self, entry: Entry, began: Sequence[Incident]) -> Text:
        """Which incident an alert began, and why, or which one it only adds to."""
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
    """`line` after the time of day `when` (seconds since 1970): 14:03:59."""
    return Text(time.strftime("%H:%M:%S  ", time.localtime(when)), "dim").append_text(line)


def entry_line(entry: Entry, *, note: str = "") -> Text:
    """One event: its step, who was behind it, what happened, and how a command ended."""
    who = "" if entry.actor == "engine" else f"{escape_control(entry.actor)}: "
    ending = "" if entry.status in (Status.NOTED, Status.APPLIED) else f" [{entry.status.value}]"
    reason = f" ({escape_control(entry.reason)})" if entry.reason else ""
    matter = _weight_of(entry)
    mark = "! " if matter is EventSeverity.ALERT else ""
    line = f"step {entry.step}  {mark}{who}{sentence(entry.event)}{ending}{reason}{note}"
    return Text(line, _STYLES.get(matter, ""))


def _weight_of(entry: Entry) -> EventSeverity:
    """An event that somebody asked for is an intervention, whatever it is otherwise, unless it is a result."""
    matter = weight(entry.event)
    if entry.status is not Status.NOTED and matter in (EventSeverity.PROGRESS, EventSeverity.SILENT):
        return EventSeverity.INTERVENTION
    return matter


def _stride(count: int) -> int:
    stride = 1
    while count > _IN_FULL * stride:
        stride *= 10
    return stride
