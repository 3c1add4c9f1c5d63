"""One incident: the alerts of one cause, which alert belongs to it, and how it grows by one."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from cockpit.session.incidents.causes import Cause
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


def belongs(entry: Entry, trouble: Trouble, cause: Cause | None, known: Incident) -> bool:
    """Return whether an alert belongs to a known incident, also of before a resume.

    It does if both have the same cause. An alert without a known cause belongs to an open incident near its step.
    """
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


def joined(known: Incident, entry: Entry, trouble: Trouble) -> Incident:
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
        tallies=(*others, tallied(tally, entry, trouble)),
        count=known.count + 1,
        is_over=False,
    )


def _mark(entry: Entry) -> tuple[str, str, type]:
    trouble = trouble_of(entry)
    return trouble.kind, trouble.place, type(entry.event)


def tallied(tally: Tally | None, entry: Entry, trouble: Trouble) -> Tally:
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


def trouble_of(entry: Entry) -> Trouble:
    """Return an alert as part of an incident, at its own step."""
    describe = info_of(entry.event).trouble
    assert describe is not None
    trouble = describe(entry.event)
    return trouble if trouble.at_step else replace(trouble, at_step=entry.step)
