"""Every event of a run as one sentence, and how loudly to say it."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum
from typing import Any, Final

from cockpit.text.format import duration, escape_control, number, rate
from engine.protocol import events as e
from engine.protocol.events import Event


class EventSeverity(Enum):
    """How much an event matters to somebody who reads along."""

    SILENT = "shown elsewhere, or followed by an event that says more"
    PROGRESS = "the run goes its way"
    INTERVENTION = "somebody steered, or tried to"
    RESULT = "what a run is for: a validation"
    ALERT = "a person should look"


def sentence(event: Event) -> str:
    """What happened, on one line; text from outside (notes, file names, errors) with its control characters shown."""
    return escape_control(_SENTENCES[type(event)](event))


def weight(event: Event) -> EventSeverity:
    """How much `event` matters."""
    return _WEIGHTS.get(type(event), EventSeverity.INTERVENTION)


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "nothing"


def _sample_count(count: int, what: str) -> str:
    return f"{count} {what} sample{'' if count == 1 else 's'}"


def _started(event: e.RunStarted) -> str:
    size = (
        f"{event.num_parameters / 1e6:.1f} M parameters"
        if event.num_parameters >= 1e5
        else (f"{event.num_parameters} parameters")
    )
    samples = f"{event.num_train_samples} training and {_sample_count(event.num_val_samples, 'validation')}"
    resumed = f", resumed from {event.resumed_from}" if event.resumed_from else ""
    return f"training on {event.device}{resumed}: {size}, {samples}, {event.total_steps} steps"


def _inherited(event: e.WeightsInherited) -> str:
    fit = (
        "all fit"
        if not (event.missing or event.unexpected)
        else (f"not there: {_names(event.missing)}; not used: {_names(event.unexpected)}")
    )
    return f"{event.num_loaded} tensors inherited from {event.checkpoint}; {fit}"


def _fault_named(event: e.FaultNamed) -> str:
    where = f"{event.operation} in {event.module} ({event.direction})" if event.module else event.direction
    blame = f", refinement {event.refinement}" if event.refinement else ""
    found = ": ".join(said for said in (event.verdict, f"{where}{blame}") if said)
    return f"step {event.at_step}: {found}; see {event.folder}"


def _promoted(event: e.PhasePromoted) -> str:
    forced = ", forced against a red check" if event.forced else ""
    return f"phase {event.before} -> {event.after}, on: {_names(event.enabled)}{forced}"


def _validated(event: e.ValidationCompleted) -> str:
    parts = [f"{name.replace('_', ' ')} {_iou(value)}" for name, value in event.metrics.items()]
    return f"validation: {', '.join([*parts, f'loss {number(event.loss)}'])} ({duration(event.seconds)})"


def _iou(value: float) -> str:
    """The IoU of a class, 'absent' if the class occurs nowhere."""
    return "absent" if math.isnan(value) else f"{value:.4f}"


def _saved(event: e.CheckpointSaved) -> str:
    return f"checkpoint {event.path} ({event.kind}{'' if event.good else ', not known good'})"


def _skipped(event: e.StepSkipped) -> str:
    of = f" (samples {', '.join(event.sample_ids)})" if event.sample_ids else ""
    return f"step skipped: {event.reason}{of}"


def _alerted(event: e.AlertRaised) -> str:
    remedy = f"; remedy: {event.remedy}" if event.remedy else ""
    return f"{event.kind}: {event.message}{remedy}"


def _refused(event: e.CommandRefused) -> str:
    arguments = " ".join(str(value) for value in event.args.values())
    return f"{event.op} {arguments}".strip()


_SENTENCES: Final[dict[type[Any], Callable[[Any], str]]] = {  # each function takes the event type it stands beside
    e.Paused: lambda event: "paused",
    e.Resumed: lambda event: "resumed",
    e.StepsGranted: lambda event: f"{event.after} more step{'' if event.after == 1 else 's'}, then pause",
    e.LrScaled: lambda event: f"learning rate {rate(event.before)} -> {rate(event.after)}",
    e.LrSet: lambda event: f"learning rate {rate(event.before)} -> {rate(event.after)}, set by hand",
    e.PhasePromoted: _promoted,
    e.PhaseDemoted: lambda event: f"phase {event.before} -> {event.after}, off: {_names(event.disabled)}",
    e.RefinementEnabled: lambda event: f"{event.name} on",
    e.RefinementDisabled: lambda event: f"{event.name} off",
    e.LossWeightSet: lambda event: f"weight of {event.term} {number(event.before)} -> {number(event.after)}",
    e.GradientClipSet: lambda event: f"gradient clip {number(event.before)} -> {number(event.after)}",
    e.AccumulationSet: lambda event: f"accumulation {event.before} -> {event.after}",
    e.BatchSizeSet: lambda event: f"batch size {event.before} -> {event.after}",
    e.OptimizerSet: lambda event: f"optimizer {event.before} -> {event.after}",
    e.CheckpointRequested: lambda event: "checkpoint asked for",
    e.RollbackRequested: lambda event: f"rollback to {event.checkpoint} asked for",
    e.ValidationRequested: lambda event: "validation asked for",
    e.NoteAdded: lambda event: f"note: {event.text}",
    e.GuardianSet: lambda event: f"guardian {'on' if event.after else 'off'}",
    e.AutopilotSet: lambda event: f"autopilot {'on' if event.after else 'off'}",
    e.SamplesExcluded: lambda event: f"excluded from training: {_names(event.sample_ids)}",
    e.StopRequested: lambda event: f"stopping: {event.reason}",
    e.CommandRefused: _refused,
    e.RunStarted: _started,
    e.ConfigChanged: lambda event: f"{event.key}: {event.before} -> {event.after}",
    e.WeightsInherited: _inherited,
    e.ActivityChanged: lambda event: f"{event.before} -> {event.after}",
    e.EpochCompleted: lambda event: (
        f"epoch {event.epoch + 1} done in {duration(event.seconds)}, mean loss {number(event.mean_loss)}"
    ),
    e.ValidationCompleted: _validated,
    e.CheckpointSaved: _saved,
    e.CheckpointFailed: lambda event: f"checkpoint {event.path} could not be written: {event.error}",
    e.CheckpointDamaged: lambda event: f"checkpoint {event.path} is damaged: {event.error}; the one before is used",
    e.RolledBack: lambda event: f"rolled back to {event.checkpoint}: step {event.before} -> {event.after}",
    e.StepSkipped: _skipped,
    e.SampleRejected: lambda event: f"cannot use {event.file}: {event.error}",
    e.AlertRaised: _alerted,
    e.SpikeDetected: lambda event: (
        f"{event.metric} spiked at step {event.at_step}: {number(event.value)}, {number(event.score, 3)} deviations "
        f"above {number(event.centre)}"
    ),
    e.FaultNamed: _fault_named,
    e.ProbationStarted: lambda event: (
        f"on probation until step {event.until_step}: a fault leads back to {event.checkpoint} and phase "
        f"{event.former_phase}"
    ),
    e.ProbationEnded: lambda event: f"probation {'passed' if event.passed else 'ended by a fault'}",
    e.AutopilotDecided: lambda event: f"the autopilot {event.decision}: {event.why}",
    e.RunFinished: lambda event: f"run {event.reason} after {duration(event.seconds)}",
    e.RunFailed: lambda event: f"the run failed: {event.error}",
}

_WEIGHTS: Final[dict[type[Any], EventSeverity]] = {
    e.CheckpointRequested: EventSeverity.SILENT,
    e.RollbackRequested: EventSeverity.SILENT,
    e.ValidationRequested: EventSeverity.SILENT,
    e.ActivityChanged: EventSeverity.SILENT,
    e.RunFinished: EventSeverity.SILENT,
    e.RunStarted: EventSeverity.RESULT,
    e.ConfigChanged: EventSeverity.RESULT,
    e.WeightsInherited: EventSeverity.RESULT,
    e.EpochCompleted: EventSeverity.PROGRESS,
    e.CheckpointSaved: EventSeverity.PROGRESS,
    e.ValidationCompleted: EventSeverity.RESULT,
    e.CheckpointFailed: EventSeverity.ALERT,
    e.CheckpointDamaged: EventSeverity.ALERT,
    e.RolledBack: EventSeverity.ALERT,
    e.SpikeDetected: EventSeverity.ALERT,
    e.FaultNamed: EventSeverity.ALERT,
    e.AutopilotDecided: EventSeverity.RESULT,
    e.StepSkipped: EventSeverity.ALERT,
    e.SampleRejected: EventSeverity.ALERT,
    e.AlertRaised: EventSeverity.ALERT,
    e.RunFailed: EventSeverity.ALERT,
}
