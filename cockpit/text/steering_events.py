"""The registry entries of the events that answer commands, in the order of their union in the protocol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from cockpit.text.event_info import (
    COMPONENTS,
    KNOBS,
    LOSS_WEIGHTS,
    AnyEventInfo,
    EventInfo,
    Inverse,
    MarkKind,
    SettingChange,
    Severity,
)
from cockpit.text.format import clip_text, listed, number, on_off, rate
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.state import knob_text

_NOT_REVERSED: Final = "what was done last is not taken back"


def _switches(names: Iterable[str], before: bool, after: bool) -> Iterator[SettingChange]:
    return (SettingChange(COMPONENTS, name, before, after, on_off) for name in names)


def _learning_rate(event: e.LrScaled | e.LrSet) -> Iterator[SettingChange]:
    yield SettingChange("training", "learning_rate", event.before, event.after, rate)


def _set_lr_inverse(event: e.LrSet) -> Inverse | str:
    if event.before <= 0:
        return "no learning rate was in effect before this one"
    return Inverse(c.SetLr(event.before), "the rate is held there and decays from it; a warm-up does not come back")


def _more_steps(event: e.StepsGranted, more: str = "") -> str:
    return f"{event.after}{more} step{'' if event.after == 1 else 's'}, then pause"


STEERING_EVENTS: Final[tuple[AnyEventInfo, ...]] = (
    EventInfo(
        e.Paused,
        lambda event, spec: "paused",
        short=lambda event: f"{event.before} -> paused",
    ),
    EventInfo(
        e.Resumed,
        lambda event, spec: "resumed",
        short=lambda event: f"{event.before} -> running",
    ),
    EventInfo(
        e.StepsGranted,
        lambda event, spec: _more_steps(event, " more"),
        short=_more_steps,
    ),
    EventInfo(
        e.LrScaled,
        lambda event, spec: f"learning rate {rate(event.before)} -> {rate(event.after)}",
        short=lambda event: f"LR {rate(event.before)} -> {rate(event.after)}",
        request=lambda event: "lower LR" if event.after < event.before else "raise LR",
        mark=MarkKind.INTERVENTION,
        changes=_learning_rate,
        undo=lambda event: Inverse(c.ScaleLr(event.before / event.after)),
    ),
    EventInfo(
        e.LrSet,
        lambda event, spec: f"learning rate {rate(event.before)} -> {rate(event.after)}, set by hand",
        short=lambda event: f"LR {rate(event.before)} -> {rate(event.after)}, warm-up over",
        request=lambda event: f"set LR to {rate(event.after)}",
        mark=MarkKind.INTERVENTION,
        changes=_learning_rate,
        undo=_set_lr_inverse,
    ),
    EventInfo(
        e.PhasePromoted,
        lambda event, spec: (
            f"phase {event.before} -> {event.after}, on: {listed(event.enabled)}"
            f"{', forced against a red check' if event.forced else ''}"
        ),
        short=lambda event: (
            f"phase {event.before} -> {event.after}, on: {listed(event.enabled)}"
            f"{'; recorded as forced' if event.forced else ''}"
        ),
        request=lambda event: f"promote to phase {event.after}",
        mark=MarkKind.PHASE,
        changes=lambda event: _switches(event.enabled, before=False, after=True),
        undo=lambda event: Inverse(c.DemotePhase(), "the weights stay as they were trained meanwhile"),
    ),
    EventInfo(
        e.PhaseDemoted,
        lambda event, spec: f"phase {event.before} -> {event.after}, off: {listed(event.disabled)}",
        request=lambda event: f"demote to phase {event.after}",
        mark=MarkKind.PHASE,
        changes=lambda event: _switches(event.disabled, before=True, after=False),
        undo=lambda event: Inverse(c.PromotePhase(), "what comes on again starts with fresh moments"),
    ),
    EventInfo(
        e.RefinementEnabled,
        lambda event, spec: f"{event.name} on",
        request=lambda event: f"switch on {event.name}",
        mark=MarkKind.INTERVENTION,
        changes=lambda event: _switches((event.name,), event.before, event.after),
        undo=lambda event: Inverse(c.DisableRefinement(event.name)),
    ),
    EventInfo(
        e.RefinementDisabled,
        lambda event, spec: f"{event.name} off",
        request=lambda event: f"switch off {event.name}",
        mark=MarkKind.INTERVENTION,
        changes=lambda event: _switches((event.name,), event.before, event.after),
        undo=lambda event: Inverse(c.EnableRefinement(event.name), "it starts with fresh moments and is blended in"),
    ),
    EventInfo(
        e.LossWeightSet,
        lambda event, spec: f"weight of {event.term} {number(event.before)} -> {number(event.after)}",
        short=lambda event: f"{number(event.before)} -> {number(event.after)}",
        request=lambda event: f"weight of {event.term} to {number(event.after)}",
        mark=MarkKind.INTERVENTION,
        changes=lambda event: (SettingChange(LOSS_WEIGHTS, event.term, event.before, event.after, number),),
        undo=lambda event: Inverse(c.SetLossWeight(event.term, event.before)),
    ),
    EventInfo(
        e.GradientClipSet,
        lambda event, spec: f"gradient clip {clip_text(event.before)} -> {clip_text(event.after)}",
        short=lambda event: f"{clip_text(event.before)} -> {clip_text(event.after)}",
        mark=MarkKind.INTERVENTION,
        changes=lambda event: (SettingChange("training", "gradient_clip", event.before, event.after, clip_text),),
        undo=lambda event: Inverse(c.SetGradientClip(event.before)),
    ),
    EventInfo(
        e.AccumulationSet,
        lambda event, spec: f"accumulation {event.before} -> {event.after}",
        short=lambda event: f"{event.before} -> {event.after}",
        mark=MarkKind.INTERVENTION,
        changes=lambda event: (SettingChange("training", "accumulation", event.before, event.after),),
        undo=lambda event: Inverse(c.SetAccumulation(event.before)),
    ),
    EventInfo(
        e.BatchSizeSet,
        lambda event, spec: f"batch size {event.before} -> {event.after}",
        short=lambda event: f"{event.before} -> {event.after}",
        mark=MarkKind.INTERVENTION,
        changes=lambda event: (SettingChange("training", "batch_size", event.before, event.after),),
        undo=lambda event: Inverse(c.SetBatchSize(event.before)),
    ),
    EventInfo(
        e.OptimizerSet,
        lambda event, spec: f"optimizer {event.before} -> {event.after}",
        short=lambda event: f"{event.before} -> {event.after}, moments kept",
        mark=MarkKind.INTERVENTION,
        changes=lambda event: (SettingChange("training", "optimizer", event.before, event.after),),
        undo=lambda event: Inverse(c.SetOptimizer(event.before)),
    ),
    EventInfo(
        e.CheckpointRequested,
        lambda event, spec: "checkpoint asked for",
        short=lambda event: "written at the step boundary",
        severity=Severity.SILENT,
    ),
    EventInfo(
        e.RollbackRequested,
        lambda event, spec: f"rollback to {event.checkpoint} asked for",
        short=lambda event: f"to {event.checkpoint}, steering kept",
        severity=Severity.SILENT,
        undo=lambda event: _NOT_REVERSED,
    ),
    EventInfo(
        e.ValidationRequested,
        lambda event, spec: "validation asked for",
        short=lambda event: "runs at the step boundary, training waits for it",
        severity=Severity.SILENT,
    ),
    EventInfo(
        e.HistogramRequested,
        lambda event, spec: f"histograms of {event.layer} will be taken at the next step",
        short=lambda event: f"of {event.layer}, taken at the next step",
        severity=Severity.SILENT,
    ),
    EventInfo(
        e.NoteAdded,
        lambda event, spec: f"note: {event.text}",
        mark=MarkKind.NOTE,
    ),
    EventInfo(
        e.GuardianSet,
        lambda event, spec: f"guardian {on_off(event.after)}",
        short=lambda event: f"{on_off(event.before)} -> {on_off(event.after)}",
        mark=MarkKind.INTERVENTION,
        changes=lambda event: (SettingChange("", "guardian", event.before, event.after, on_off),),
        undo=lambda event: Inverse(c.SetGuardian(event.before)),
    ),
    EventInfo(
        e.AutopilotSet,
        lambda event, spec: f"autopilot {on_off(event.after)}",
        short=lambda event: f"{on_off(event.before)} -> {on_off(event.after)}",
        mark=MarkKind.INTERVENTION,
        changes=lambda event: (SettingChange("", "autopilot", event.before, event.after, on_off),),
        undo=lambda event: Inverse(c.SetAutopilot(event.before)),
    ),
    EventInfo(
        e.SamplesExcluded,
        lambda event, spec: f"excluded from training: {listed(event.sample_ids)}",
        mark=MarkKind.INTERVENTION,
        changes=lambda event: (SettingChange("", "excluded samples", event.before, event.after),),
        undo=lambda event: "no command takes excluded samples in again",
    ),
    EventInfo(
        e.KnobSet,
        lambda event, spec: f"{event.name} {knob_text(event.before)} -> {knob_text(event.after)}",
        request=lambda event: f"set {event.name} to {knob_text(event.after)}",
        mark=MarkKind.INTERVENTION,
        changes=lambda event: (SettingChange(KNOBS, event.name, event.before, event.after, knob_text),),
        undo=lambda event: Inverse(c.SetKnob(event.name, event.before)),
    ),
    EventInfo(
        e.StopRequested,
        lambda event, spec: f"stopping: {event.reason}",
        undo=lambda event: _NOT_REVERSED,
    ),
)
