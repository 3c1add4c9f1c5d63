"""The events panel: all events, the newest at the bottom; enter moves the charts' cursor to the event's step."""

from __future__ import annotations

import time
from typing import ClassVar, Final

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.style import Style

from cockpit.session.session import Session
from cockpit.session.update import SessionUpdate
from cockpit.text.event_info import Severity
from cockpit.text.event_text import sentence, severity
from cockpit.text.format import escape_control
from cockpit.ui.panels.records.events_filter import KINDS, EventsFilter
from cockpit.ui.panels.toolkit.line_list import LineList
from cockpit.ui.panels.toolkit.panel import JumpTo
from cockpit.ui.panels.toolkit.search_panel import SearchedList
from cockpit.ui.panels.toolkit.symbols import ACTIVE, BAD, FAINT, LABEL, STRONG, WARN, signs_for
from engine.journal.reader import Entry
from engine.protocol.commands import ENGINE
from engine.protocol.events import Status
from engine.protocol.task_spec import NO_SPEC, TaskSpec

_STYLES: Final = {
    Severity.ALERT: BAD,
    Severity.RESULT: STRONG,
    Severity.INTERVENTION: ACTIVE,
    Severity.PROGRESS: "",
    Severity.SILENT: FAINT,
}
_ENDINGS: Final = {
    Status.APPLIED: ("applied", ACTIVE),
    Status.CLAMPED: ("clamped", f"bold {WARN}"),
    Status.REFUSED: ("refused", BAD),
}
_TIME_FROM: Final = 60
"""From this width on a line begins with the time of day, and all kinds are named."""
_SECONDS_BETWEEN_TURNS: Final = 0.02


class EventsPanel(SearchedList):
    """List of events, searched for a few milliseconds at a time, so that a long journal does not block the screen."""

    TITLE: ClassVar[str] = "Events"
    HELP = (
        "Up and down choose an event; enter or a click shows its step in the charts. / searches, escape removes "
        "the search; left and right choose the kind of events; end follows the newest."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "kind(-1)", show=False),
        Binding("right", "kind(1)", show=False),
    ]

    def __init__(self, *, marker: str = "braille", id: str | None = None) -> None:
        super().__init__(id=id)
        self._signs = signs_for(marker)
        self._filter = EventsFilter()
        self._spec = NO_SPEC
        self._is_searching = False

    def apply_update(self, session: Session, update: SessionUpdate) -> None:
        """Add new events to the list."""
        self._spec = session.spec
        self._filter.watch(session.entries, self._spec)
        if not self._filter.is_done or not self._filter.total:
            self._search()

    def seek(self, text: str) -> None:
        """List the events that contain every word of `text`."""
        self._look_for(self._filter.kind, text)

    def action_kind(self, by: int) -> None:
        """Choose the next kind of events."""
        self._look_for(KINDS[(KINDS.index(self._filter.kind) + by) % len(KINDS)], self.sought)

    def on_click(self, event: events.Click) -> None:
        """Choose the kind that was clicked."""
        kind = event.style.meta.get("kind")
        if kind in KINDS:
            event.stop()
            self._look_for(kind, self.sought)

    def on_resize(self) -> None:
        """Name as many kinds as the new width has room for."""
        self._show_kinds()

    def _look_for(self, kind: str, text: str) -> None:
        self._filter.look_for(kind, text)
        self.listing.follows = True
        self._search()

    def _search(self) -> None:
        """Search for a few milliseconds, and continue soon if events remain."""
        older = self._filter.search()
        self.listing.show(len(self._filter.found), shifted=-older)
        self._show_kinds()
        if not self._filter.is_done and not self._is_searching:
            self._is_searching = True
            self.set_timer(_SECONDS_BETWEEN_TURNS, self._go_on)

    def _go_on(self) -> None:
        self._is_searching = False
        self._search()

    def _show_kinds(self) -> None:
        """Show the kinds, the chosen one in brackets, and how many events are listed."""
        pieces: list[Content] = []
        for kind in (self._filter.kind,) if self.size.width < _TIME_FROM else KINDS:
            chosen = kind == self._filter.kind
            text = Content.styled(f"[{kind}]" if chosen else f" {kind} ", f"bold {ACTIVE}" if chosen else LABEL)
            pieces.append(text.stylize(Style.from_meta({"kind": kind})))
        searching = "" if self._filter.is_done else self._signs.dots
        count = Content.styled(f" {len(self._filter.found)} of {self._filter.total}{searching}", LABEL)
        self.status.update(Content("").join([*pieces, count]))

    def line(self, index: int) -> Content:
        """Return the line of the event at `index` of those found."""
        return event_line(self._filter.found[index], self._spec, self.listing.size.width, self._signs.alert)

    def on_line_list_chosen(self, event: LineList.Chosen) -> None:
        """Move the charts' cursor to the step of the event."""
        event.stop()
        entry = self._filter.found[event.index]
        self.post_message(JumpTo(getattr(entry.event, "at_step", 0) or entry.step))


def event_line(entry: Entry, spec: TaskSpec, width: int, alert_sign: str) -> Content:
    """Return the line of an event: time, step, actor, status, sentence, and reason."""
    matter = severity(entry)
    when = time.strftime("%H:%M:%S ", time.localtime(entry.time)) if width >= _TIME_FROM else ""
    sign = alert_sign if matter is Severity.ALERT else " "
    actor = "" if entry.actor == ENGINE else f"[{escape_control(entry.actor)}] "
    word, style = _ENDINGS.get(entry.status, ("", ""))
    reason = f" ({escape_control(entry.reason)})" if entry.reason else ""
    return Content.assemble(
        (when, FAINT),
        (f"{entry.step:>7} ", LABEL),
        (f"{sign} ", BAD),
        (actor, LABEL),
        (f"{word}: " if word else "", style),
        (sentence(entry.event, spec), _STYLES[matter]),
        (reason, LABEL),
    )
