"""The registry entries of faults and their treatment: failed files, skipped steps, alerts, rollbacks, probation."""

from __future__ import annotations

from typing import Final

from cockpit.text.event_info import NOT_FINITE, UNSTABLE, AnyEventInfo, EventInfo, MarkKind, Severity, Trouble
from cockpit.text.format import number
from engine.protocol import events as e
from engine.protocol.task_spec import TaskSpec

_DISK: Final = "disk"

_ALERT_FAMILIES: Final = {
    "exploding module": UNSTABLE,
    "dead module": UNSTABLE,
    "vanishing module": UNSTABLE,
    "gradient norm": UNSTABLE,
    "loss clamp": UNSTABLE,
    "skipped steps": UNSTABLE,
    "guardian is off": UNSTABLE,
    "validation": UNSTABLE,
    "journal": _DISK,
    "tensorboard": _DISK,
    "disk": _DISK,
}
"""Families of the kinds of alerts; of others, those about a module or a term are `UNSTABLE`."""


def _skipped(event: e.StepSkipped, spec: TaskSpec) -> str:
    of = f" (samples {', '.join(event.sample_ids)})" if event.sample_ids else ""
    return f"step skipped: {event.reason}{of}"


def _alerted(event: e.AlertRaised, spec: TaskSpec) -> str:
    remedy = f"; remedy: {event.remedy}" if event.remedy else ""
    kind = f"{event.kind}, {event.severity}" if event.severity else event.kind
    return f"{kind}: {event.message}{remedy}"


def _spiked(event: e.SpikeDetected, spec: TaskSpec) -> str:
    height = f"{number(event.value)}, {number(event.score, 3)} deviations above {number(event.centre)}"
    return f"{event.metric} spiked at step {event.at_step}: {height}"


def _fault_named(event: e.FaultNamed, spec: TaskSpec) -> str:
    where = f"{event.operation} in {event.module} ({event.direction})" if event.module else event.direction
    blame = f", {spec.component_noun} {event.refinement}" if event.refinement else ""
    rank = "" if event.rank is None else f" on rank {event.rank}"
    found = ": ".join(part for part in (event.verdict, f"{where}{rank}{blame}") if part)
    return f"step {event.at_step}: {found}; see {event.folder}"


def _on_probation(event: e.ProbationStarted, spec: TaskSpec) -> str:
    back = f"{event.checkpoint} and phase {event.former_phase}"
    return f"on probation until step {event.until_step}: a fault leads back to {back}"


def _trouble_of_alert(event: e.AlertRaised) -> Trouble:
    if event.severity:  # of a rule, whose name may be any word
        return Trouble(event.kind, event.kind, at_step=event.at_step)
    if event.kind == "fault" or "finite" in event.kind:
        return Trouble(NOT_FINITE, UNSTABLE, at_step=event.at_step)
    place = event.module or event.term
    family = _ALERT_FAMILIES.get(event.kind, UNSTABLE if place else event.kind)
    return Trouble(event.kind, family, place, event.at_step)


FAULT_FACTS: Final[tuple[AnyEventInfo, ...]] = (
    EventInfo(
        e.CheckpointFailed,
        lambda event, spec: f"checkpoint {event.path} could not be written: {event.error}",
        severity=Severity.ALERT,
        mark=MarkKind.ALERT,
        trouble=lambda event: Trouble("CheckpointFailed", _DISK),
    ),
    EventInfo(
        e.CheckpointDamaged,
        lambda event, spec: f"checkpoint {event.path} is damaged: {event.error}; the one before is used",
        severity=Severity.ALERT,
        trouble=lambda event: Trouble("CheckpointDamaged", "CheckpointDamaged"),
    ),
    EventInfo(
        e.RolledBack,
        lambda event, spec: f"rolled back to {event.checkpoint}: step {event.before} -> {event.after}",
        severity=Severity.ALERT,
        mark=MarkKind.ROLLBACK,
        undo=lambda event: "a rollback is not taken back: the steps it gave up are gone; roll back further instead",
        trouble=lambda event: Trouble("RolledBack", UNSTABLE, at_step=event.before),
    ),
    EventInfo(
        e.StepSkipped,
        _skipped,
        severity=Severity.ALERT,
        mark=MarkKind.ALERT,
        trouble=lambda event: Trouble(NOT_FINITE, UNSTABLE),
        is_frequent=True,
    ),
    EventInfo(
        e.SampleRejected,
        lambda event, spec: f"cannot use {event.file}: {event.error}",
        severity=Severity.ALERT,
        is_frequent=True,
    ),
    EventInfo(e.AlertRaised, _alerted, severity=Severity.ALERT, mark=MarkKind.ALERT, trouble=_trouble_of_alert),
    EventInfo(
        e.SpikeDetected,
        _spiked,
        severity=Severity.ALERT,
        mark=MarkKind.ALERT,
        trouble=lambda event: Trouble(f"spike {event.metric}", UNSTABLE, at_step=event.at_step),
    ),
    EventInfo(
        e.FaultNamed,
        _fault_named,
        severity=Severity.ALERT,
        mark=MarkKind.ALERT,
        trouble=lambda event: Trouble(NOT_FINITE, UNSTABLE, at_step=event.at_step),
    ),
    EventInfo(e.ProbationStarted, _on_probation),
    EventInfo(
        e.ProbationEnded,
        lambda event, spec: f"probation {'passed' if event.passed else 'ended by a fault'}",
    ),
    EventInfo(
        e.RunFailed,
        lambda event, spec: f"the run failed: {event.error}",
        severity=Severity.ALERT,
        mark=MarkKind.ALERT,
        trouble=lambda event: Trouble("RunFailed", "RunFailed"),
        is_end=True,
    ),
)
