"""Alerts as a person reads them: entries that tell of one trouble folded into one incident."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from cockpit.console.sentences import sentence
from cockpit.console.text import number, whole
from engine.journal.reader import Entry
from engine.protocol import events as e

_BY_THEMSELVES: Final = (
    e.AlertRaised
    | e.StepSkipped
    | e.FaultNamed
    | e.SpikeDetected
    | e.CheckpointFailed
    | e.CheckpointDamaged
    | e.RunFailed
)
_NOT_FINITE: Final = "not finite"
_NEAR_STEPS: Final = 2
"""A GPU's reports arrive a step late: so far apart two skipped steps still are consecutive."""


@dataclass(frozen=True, slots=True)
class Incident:
    """One trouble: the steps it spans, what tells of it (newest last), and how often it was seen."""

    kind: str
    first_step: int
    last_step: int
    entries: tuple[Entry, ...]
    count: int = 1


@dataclass(frozen=True, slots=True)
class Account:
    """An incident in words: what, where, the evidence, the remedy; '' for what is not known. All of it printable."""

    what: str
    where: str = ""
    evidence: str = ""
    remedy: str = ""


def is_alert(entry: Entry) -> bool:
    """Whether a person has to acknowledge this; a rollback only where the guardian made it."""
    if isinstance(entry.event, e.RolledBack):
        return entry.actor == "guardian"
    return isinstance(entry.event, _BY_THEMSELVES)


@dataclass(slots=True)
class Incidents:
    """What was not acknowledged yet, oldest first."""

    open: list[Incident] = field(default_factory=lambda: [])

    def add(self, entries: Iterable[Entry]) -> None:
        """Take in what the journal told next; a run that starts (again) has no old troubles."""
        for entry in entries:
            if isinstance(entry.event, e.RunStarted):
                self.open.clear()
            elif is_alert(entry):
                self._add(entry)

    def acknowledge(self) -> Incident | None:
        """Take away the newest one and return it; None where there is none."""
        return self.open.pop() if self.open else None

    def _add(self, entry: Entry) -> None:
        step = _step_of(entry)
        for position in range(len(self.open) - 1, max(len(self.open) - 4, -1), -1):
            known = self.open[position]
            if _belongs(entry, step, known):
                self.open[position] = _joined(known, entry, step)
                return
        self.open.append(Incident(_kind_of(entry), step, step, (entry,)))


def _belongs(entry: Entry, step: int, known: Incident) -> bool:
    near = known.first_step <= step <= known.last_step + _NEAR_STEPS
    if known.kind == _NOT_FINITE and isinstance(entry.event, e.AlertRaised):
        return near and step <= known.last_step + 1
    return near and _kind_of(entry) == known.kind


def _joined(known: Incident, entry: Entry, step: int) -> Incident:
    """The incident with one more entry. Of a kind that repeats, the newest stands for all."""
    kept = tuple(old for old in known.entries if type(old.event) is not type(entry.event))
    first_telling = any(isinstance(old.event, type(entry.event)) for old in known.entries)
    return replace(
        known,
        last_step=max(step, known.last_step),
        entries=(*kept, entry),
        count=known.count + (first_telling and isinstance(entry.event, e.StepSkipped | e.SpikeDetected)),
    )


def _kind_of(entry: Entry) -> str:
    match entry.event:
        case e.StepSkipped() | e.FaultNamed():
            return _NOT_FINITE
        case e.AlertRaised(kind=kind):
            return _NOT_FINITE if "finite" in kind else f"alert {kind}"
        case e.SpikeDetected(metric=metric):
            return f"spike {metric}"
        case event:
            return type(event).__name__


def _step_of(entry: Entry) -> int:
    match entry.event:
        case e.AlertRaised(at_step=step) | e.FaultNamed(at_step=step) | e.SpikeDetected(at_step=step) if step:
            return step
        case _:
            return entry.step


def account(incident: Incident) -> Account:
    """The incident in words, from everything that tells of it."""
    told: dict[type, e.Event] = {type(entry.event): entry.event for entry in incident.entries}
    if incident.kind == _NOT_FINITE:
        return _not_finite(incident, told)
    match incident.entries[-1].event:
        case e.AlertRaised() as alert:
            return Account(whole(alert.kind), _place(alert), whole(alert.message), whole(alert.remedy))
        case e.SpikeDetected() as spike:
            what = f"{whole(spike.metric)} spiked" + (f" {incident.count} times" if incident.count > 1 else "")
            height = f"{number(spike.score, 3)} deviations above {number(spike.centre)}"
            return Account(what, "", f"{number(spike.value)} at step {spike.at_step}, {height}")
        case e.RunFailed(error=error):
            return Account("the run failed", "", whole(error), "the traceback is in the log; resume from a checkpoint")
        case event:
            return Account(sentence(event))


def _not_finite(incident: Incident, told: Mapping[type, e.Event]) -> Account:
    skipped, fault, alert = told.get(e.StepSkipped), told.get(e.FaultNamed), told.get(e.AlertRaised)
    first, last = incident.first_step, incident.last_step
    what = f"step {first} was not finite" if first == last else f"steps {first}-{last} were not finite"
    where = evidence = remedy = ""
    if isinstance(skipped, e.StepSkipped):
        where = ", ".join(
            [*(f"term {term}" for term in skipped.terms), *(f"module {part}" for part in skipped.modules)]
        )
        evidence = whole(skipped.reason)
    if isinstance(alert, e.AlertRaised):
        where = _place(alert) or where
        evidence, remedy = whole(alert.message), whole(alert.remedy)
    if isinstance(fault, e.FaultNamed):
        blame = (("operation", fault.operation), ("module", fault.module), ("term", fault.term))
        # A replay that names nothing leaves what the skipped step itself has told.
        named = ", ".join(f"{word} {name}" for word, name in blame if name) or where
        how = ", ".join(said for said in (fault.direction, fault.verdict) if said and said not in evidence)
        where = f"{named} ({how})" if named and how else named or how
        where += f", refinement {fault.refinement}" if fault.refinement else ""
    where = whole(where)
    return Account(what, "" if where in evidence else where, evidence, remedy)


def _place(alert: e.AlertRaised) -> str:
    places = (("operation", alert.operation), ("module", alert.module), ("term", alert.term))
    return whole(", ".join(f"{word} {name}" for word, name in places if name))
