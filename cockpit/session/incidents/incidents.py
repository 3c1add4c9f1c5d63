"""Group alerts of one cause into incidents, which header, banner, console and notifications count alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from cockpit.session.incidents.causes import Cause, Causes
from cockpit.text.event_info import NOT_FINITE, UNSTABLE, Trouble
from cockpit.text.event_text import info_of, is_information
from engine.journal.reader import Entry
from engine.protocol import events as e
from engine.protocol.commands import GUARDIAN
from engine.protocol.record import record

_NEAR_STEPS: Final = 20
"""Maximum steps between an alert and a later non-finite step or spike of the same incident, without a known cause."""
_LINGERS_STEPS: Final = 200
"""Maximum steps between an alert and a later one on rates over many steps, without a known cause."""
_MOST_MEMBERS: Final = 60
_MOST_LOOKED_AT: Final = 50


@record
class Tally:
    """Count of one kind of alert in an incident, its first and last step, and its modules or terms."""

    kind: str
    first_step: int
    last_step: int
    count: int = 1
    places: tuple[str, ...] = ()


@record
class Incident:
    """Alerts of one cause, numbered from 1 in their run: the likely cause, the steps, and the entries.

    `entries` holds the newest of each kind and place, newest last; `count` counts all of them. `back_to` is the first
    step that the run trained again because of it. `is_over`: a resume or a requested rollback
    went back to a step before it.
    """

    number: int
    family: str
    cause: Cause | None
    first_step: int
    last_step: int
    back_to: int
    entries: tuple[Entry, ...]
    tallies: tuple[Tally, ...]
    count: int = 1
    is_over: bool = False

    @property
    def kinds(self) -> frozenset[str]:
        """Kinds of alerts in the incident."""
        return frozenset(tally.kind for tally in self.tallies)

    def tally(self, kind: str) -> Tally | None:
        """Return the tally of a kind; `None` if it did not occur."""
        return next((tally for tally in self.tallies if tally.kind == kind), None)


def is_alert(entry: Entry) -> bool:
    """Return whether an entry belongs to an incident; a rollback does if the guardian made it."""
    is_trouble = info_of(entry.event).trouble is not None and not is_information(entry.event)
    return is_trouble and (entry.actor == GUARDIAN or not isinstance(entry.event, e.RolledBack))


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
        """Return the open incidents, oldest first: not over, and not acknowledged unless they have worsened since."""
        return [incident for incident in self.all if not incident.is_over and not self._is_seen(incident)]

    def add(self, entries: Iterable[Entry]) -> tuple[Incident, ...]:
        """Take in what the journal says next; returns the incidents that began with it."""
        before = len(self.all)
        for entry in entries:
            self._causes.add(entry)
            match entry.event:
                case e.RunStarted():
                    self._end(partial(_is_of_another_branch, entry.branch))
                case e.RolledBack(after=after) if not is_alert(entry):
                    self._end(partial(_began_after, after))
                case _ if is_alert(entry):
                    self._take(entry)
                case _:
                    pass
        return tuple(self.all[before:])

    def acknowledge(self) -> Incident | None:
        """Acknowledge the newest open incident and return it; `None` if none is open."""
        newest = next(iter(reversed(self.open)), None)
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
        trouble = _trouble_of(entry)
        step = trouble.at_step
        cause = self._causes.of(step) if trouble.family == UNSTABLE else None
        for position in range(len(self.all) - 1, max(len(self.all) - _MOST_LOOKED_AT, 0) - 1, -1):
            known = self.all[position]
            if _belongs(entry, trouble, cause, known):
                self.all[position] = _joined(known, entry, trouble)
                self.numbers[entry.id] = known.number
                return
        tally = _tallied(None, entry, trouble)
        number = self.numbers[entry.id] = len(self.all) + 1
        self.all.append(Incident(number, trouble.family, cause, step, step, step, (entry,), (tally,)))


def _is_of_another_branch(branch: int, incident: Incident) -> bool:
    """Begin the incidents of another process: it opens a branch, and may raise alerts before its start event."""
    return incident.entries[-1].branch != branch


def _began_after(step: int, incident: Incident) -> bool:
    return incident.first_step > step


def _belongs(entry: Entry, trouble: Trouble, cause: Cause | None, known: Incident) -> bool:
    """Return the incident with the same cause, also of before a resume; without a cause, the recent open one."""
    if isinstance(entry.event, e.RunFailed):
        return known.family == UNSTABLE and not known.is_over and "not finite" in entry.event.error
    if trouble.family != known.family:
        return False
    if known.family != UNSTABLE:
        return not known.is_over
    if cause is not None:
        return known.cause is not None and known.cause.key == cause.key
    is_sudden = trouble.kind == NOT_FINITE or isinstance(entry.event, e.SpikeDetected)
    reach = _NEAR_STEPS if is_sudden else _LINGERS_STEPS
    return not known.is_over and known.back_to <= trouble.at_step <= known.last_step + reach


def _joined(known: Incident, entry: Entry, trouble: Trouble) -> Incident:
    """Return the incident with one more entry; the newest of a kind and a place replaces the former ones."""
    step = trouble.at_step
    kept = [old for old in known.entries if _mark(old) != _mark(entry)]
    tally = known.tally(trouble.kind)
    others = [other for other in known.tallies if other is not tally]
    back_to = entry.event.after if isinstance(entry.event, e.RolledBack) else known.back_to
    return replace(
        known,
        first_step=min(step, known.first_step),
        last_step=max(step, known.last_step),
        back_to=min(back_to, step, known.back_to),
        entries=(*kept, entry)[-_MOST_MEMBERS:],
        tallies=(*others, _tallied(tally, entry, trouble)),
        count=known.count + 1,
        is_over=False,
    )


def _mark(entry: Entry) -> tuple[str, str, type]:
    trouble = _trouble_of(entry)
    return trouble.kind, trouble.place, type(entry.event)


def _tallied(tally: Tally | None, entry: Entry, trouble: Trouble) -> Tally:
    """Return the tally of the kind of `entry`, with it. An explanation of a counted step is not counted again."""
    kind, place, step = trouble.kind, trouble.place, trouble.at_step
    if tally is None:
        return Tally(kind, step, step, 1, (place,) if place else ())
    explains = kind == NOT_FINITE and not isinstance(entry.event, e.StepSkipped)
    known = place in tally.places or not place
    return Tally(
        kind,
        min(step, tally.first_step),
        max(step, tally.last_step),
        tally.count + (0 if explains else 1),
        tally.places if known else (*tally.places, place)[:_MOST_MEMBERS],
    )


def _trouble_of(entry: Entry) -> Trouble:
    """Return an alert as part of an incident, at its own step."""
    describe = info_of(entry.event).trouble
    assert describe is not None
    trouble = describe(entry.event)
    return trouble if trouble.at_step else replace(trouble, at_step=entry.step)
