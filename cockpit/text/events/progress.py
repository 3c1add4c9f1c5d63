"""The registry entries of the normal course of a run: its start, epochs, validations, checkpoints and end."""

from __future__ import annotations

import math
from typing import Final

from cockpit.text.event_info import AnyEventInfo, EventInfo, MarkKind, Severity
from cockpit.text.format import counted, decimal, duration, listed, number
from engine.protocol import events as e
from engine.protocol.state import Knob, knob_text
from engine.protocol.task_spec import TaskSpec


def _started(event: e.RunStarted, spec: TaskSpec) -> str:
    """Return what trains; numbers of 0 are unknown in an attached run, and left out."""
    is_large = event.num_parameters >= 1e5
    size = f"{event.num_parameters / 1e6:.1f} M" if is_large else f"{event.num_parameters}"
    plural = "" if event.num_val_samples == 1 else "s"
    samples = f"{event.num_train_samples} training and {event.num_val_samples} validation sample{plural}"
    known = [
        f"{size} parameters",
        *([samples] if event.num_train_samples or event.num_val_samples else []),
        *([counted(event.total_steps, "step")] if event.total_steps else []),
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
    return "absent" if math.isnan(value) else decimal(value, 4)


def _saved(event: e.CheckpointSaved, spec: TaskSpec) -> str:
    return f"checkpoint {event.path} ({event.kind}{'' if event.good else ', not known good'})"


PROGRESS_FACTS: Final[tuple[AnyEventInfo, ...]] = (
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
        e.HistogramTaken,
        lambda event, spec: f"histograms of {event.layer} at step {event.at_step} taken: {event.file}",
        severity=Severity.RESULT,
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
)
