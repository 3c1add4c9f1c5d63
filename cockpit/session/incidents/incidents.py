"""Group alerts of one cause into incidents, which header, banner, console and notifications count alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from cockpit.session.incidents.causes import Causes
from cockpit.session.incidents.incident import Incident, belongs, is_alert, joined, tallied, trouble_of
from cockpit.text.event_info import UNSTABLE
from engine.journal.reader import Entry
from engine.protocol import events as e

_MOST_LOOKED_AT: Final = 50


def incidents_of(entries: Iterable[Entry]) -> tuple[Incident, ...]:
    """Return the incidents in a journal's entries, oldest first."""
    book = Incidents()
    book.add(entries)
    return tuple(book.all)


def num_incidents(entries: Iterable[Entry]) -> int:
    """Number of incidents, which every count of alerts shows."""
    return len(incidents_of(entries))


@dataclass(slots=True)
class Incidents:
    """The incidents of a run as its journal grows, and which of them were acknowledged on this screen.

    `numbers` has the incident of each alert, by the entry's id.
    """

    all: list[Incident] = field(default_factory=lambda: [])
    numbers: dict[int, int] = field(default_factory=lambda: {})
    _seen: dict[int, frozenset[str]] = field(default_factory=lambda: {})
    _causes: Causes = field(default_factory=Causes)

    def __len__(self) -> int:
        return len(self.all)

    @property
    def open(self) -> Sequence[Incident]:
        """Return the open incidents: not over, and not acknowledged unless they have worsened since.

        The one with the newest alert is last: an old incident that grows comes before a younger one that does not.
        """
        found = (incident for incident in self.all if not incident.is_over and not self._is_seen(incident))
        return sorted(found, key=lambda incident: incident.entries[-1].id)

    @property
    def newest(self) -> Incident | None:
        """Return the open incident with the newest alert; `None` if none is open."""
        found = self.open
        return found[-1] if found else None

    def add(self, entries: Iterable[Entry]) -> tuple[Incident, ...]:
        """Take in what the journal says next; returns the incidents that began with it."""
        before = len(self.all)
        for entry in entries:
            self._causes.add(entry)
            self._add_one(entry)
        return tuple(self.all[before:])

    def _add_one(self, entry: Entry) -> None:
        match entry.event:
            case e.RunStarted():
                self._end(partial(_is_of_another_branch, entry.branch))
            case e.RolledBack(after=after) if not is_alert(entry):
                self._end(partial(_began_after, after))
            case _ if is_alert(entry):
                self._take(entry)
            case _:
                pass

    def acknowledge(self) -> Incident | None:
        """Acknowledge the open incident with the newest alert and return it; `None` if none is open."""
        newest = self.newest
        if newest is not None:
            self._seen[newest.number] = newest.kinds
        return newest

    def was_seen(self, incident: Incident) -> bool:
        """Return whether the incident was acknowledged, and has worsened since if it is open."""
        return incident.number in self._seen

    def _is_seen(self, incident: Incident) -> bool:
        return incident.kinds <= self._seen.get(incident.number, frozenset())

    def _end(self, is_behind: Callable[[Incident], bool]) -> None:
        self.all = [
            replace(incident, is_over=True) if not incident.is_over and is_behind(incident) else incident
            for incident in self.all
        ]

    def _take(self, entry: Entry) -> None:
        trouble = trouble_of(entry)
        step = trouble.at_step
        cause = self._causes.of(step) if trouble.family == UNSTABLE else None
        recent = range(len(self.all) - 1, max(len(self.all) - _MOST_LOOKED_AT, 0) - 1, -1)
        at = next((position for position in recent if belongs(entry, trouble, cause, self.all[position])), None)
        if at is not None:
            known = self.all[at]
            self.all[at] = joined(known, entry, trouble)
            self.numbers[entry.id] = known.number
            return
        tally = tallied(None, entry, trouble)
        number = self.numbers[entry.id] = len(self.all) + 1
        self.all.append(Incident(number, trouble.family, cause, step, step, step, (entry,), (tally,)))


def _is_of_another_branch(branch: int, incident: Incident) -> bool:
    """Begin the incidents of another process: it opens a branch, and may raise alerts before its start event."""
    return incident.entries[-1].branch != branch


def _began_after(step: int, incident: Incident) -> bool:
    return incident.first_step > step
