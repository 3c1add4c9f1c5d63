"""The registry entries of the events that the engine reports unasked, in the order of their union in the protocol."""

from __future__ import annotations

import math
from typing import Final

from cockpit.text.event_info import NOT_FINITE, UNSTABLE, AnyEventInfo, EventInfo, MarkKind, Severity, Trouble
from cockpit.text.format import duration, listed, number, on_off
from engine.protocol import events as e
from engine.protocol.state import Knob, knob_text
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


def _refused(event: e.CommandRefused, spec: TaskSpec) -> str:
    return " ".join(word for word in (event.op, *map(_argument, event.args.items())) if word)


def _argument(named: tuple[str, object]) -> str:
    """Return one argument of a command, by its name, as it is written."""
    name, value = named
    if name == "force":
        return "--force" if value else ""
    return on_off(value) if isinstance(value, bool) else str(value)


def _started(event: e.RunStarted, spec: TaskSpec) -> str:
    """Return what trains; numbers of 0 are unknown in an attached run, and left out."""
    is_large = event.num_parameters >= 1e5
    size = f"{event.num_parameters / 1e6:.1f} M" if is_large else f"{event.num_parameters}"
    plural = "" if event.num_val_samples == 1 else "s"
    samples = f"{event.num_train_samples} training and {event.num_val_samples} validation sample{plural}"
    known = [
        f"{size} parameters",
        *([samples] if event.num_train_samples or event.num_val_samples else []),
        *([f"{event.total_steps} steps"] if event.total_steps else []),
    ]
    resumed = f", resumed from {event.resumed_from}" if event.resumed_from else ""
    return f"training on {event.device}{resumed}: {', '.join(known)}"


def _described(event: e.TaskDescribed, spec: TaskSpec) -> str:
    """Return the loss terms and the metrics of the spec in `event`, and the number of commands that it rules out."""
    described = event.spec
    metrics = [_metric(metric.name, described) for metric in described.metrics]
    without = len(described.unsupported)
    parts = [
        f"loss terms {', '.join(described.term_names)}" if described.terms else "no loss term",
        f"metrics {', '.join(metrics)}" if metrics else "no metric",
        *([f"{without} command{'' if without == 1 else 's'} not supported"] if without else []),
    ]
    return f"task {described.name or 'without a name'}: {'; '.join(parts)}"


def _knob_declared(event: e.KnobDeclared, spec: TaskSpec) -> str:
    knob = Knob(event.value, event.low, event.high, event.choices)
    return f"knob {event.name} is {knob_text(event.value)}, takes {knob.expected}"


def _inherited(event: e.WeightsInherited, spec: TaskSpec) -> str:
    fit = "all fit"
    if event.missing or event.unexpected:
        fit = f"not there: {listed(event.missing)}; not used: {listed(event.unexpected)}"
    averaged = " averaged" if event.averaged else ""
    return f"{event.num_loaded}{averaged} tensors inherited from {event.checkpoint}; {fit}"


def _epoch_completed(event: e.EpochCompleted, spec: TaskSpec) -> str:
    return f"epoch {event.epoch + 1} done in {duration(event.seconds)}, mean loss {number(event.mean_loss)}"


def _validated(event: e.ValidationCompleted, spec: TaskSpec) -> str:
    parts = [f"{_metric(name, spec)} {_score(value)}" for name, value in event.metrics.items()]
    loss = [] if event.loss is None or "loss" in event.metrics else [f"loss {number(event.loss)}"]
    of = f" of averaged weights ({event.averaged})" if event.averaged else ""
    return f"validation{of}: {', '.join([*parts, *loss])} ({duration(event.seconds)})"


def _metric(name: str, spec: TaskSpec) -> str:
    """Return the title of a metric, or its name in words if the task gives it no title."""
    title = spec.metric_title(name)
    return title if title != name else name.replace("_", " ")


def _score(value: float) -> str:
    """Return a metric's value; a metric without a value, such as that of a class without samples, is 'absent'."""
    return "absent" if math.isnan(value) else f"{value:.4f}"


def _saved(event: e.CheckpointSaved, spec: TaskSpec) -> str:
    return f"checkpoint {event.path} ({event.kind}{'' if event.good else ', not known good'})"


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


ENGINE_FACTS: Final[tuple[AnyEventInfo, ...]] = (
    EventInfo(e.CommandRefused, _refused),
    EventInfo(e.RunStarted, _started, severity=Severity.RESULT),
    EventInfo(
        e.ConfigChanged,
        lambda event, spec: f"{event.key}: {event.before} -> {event.after}",
        severity=Severity.RESULT,
    ),
    EventInfo(e.TaskDescribed, _described, severity=Severity.PROGRESS),
    EventInfo(e.KnobDeclared, _knob_declared, severity=Severity.PROGRESS),
    EventInfo(e.WeightsInherited, _inherited, severity=Severity.RESULT),
    EventInfo(
        e.ActivityChanged,
        lambda event, spec: f"{event.before} -> {event.after}",
        severity=Severity.SILENT,
    ),
    EventInfo(e.EpochCompleted, _epoch_completed, severity=Severity.PROGRESS),
    EventInfo(e.ValidationCompleted, _validated, severity=Severity.RESULT),
    EventInfo(e.CheckpointSaved, _saved, severity=Severity.PROGRESS, mark=MarkKind.CHECKPOINT),
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
    EventInfo(
        e.HistogramTaken,
        lambda event, spec: f"histograms of {event.layer} at step {event.at_step} taken: {event.file}",
        severity=Severity.RESULT,
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
        e.AutopilotDecided,
        lambda event, spec: f"the autopilot {event.decision}: {event.why}",
        severity=Severity.RESULT,
    ),
    EventInfo(
        e.RunFinished,
        lambda event, spec: f"run {event.reason} after {duration(event.seconds)}",
        severity=Severity.SILENT,
        is_end=True,
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
