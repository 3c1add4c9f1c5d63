"""The registry entries of the events that give a setting of the training a new value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cockpit.text.event_info import KNOBS, LOSS_WEIGHTS, AnyEventInfo, EventInfo, Inverse, MarkKind, SettingChange
from cockpit.text.format import clip_text, listed, number, rate
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.state import knob_text


def _learning_rate(event: e.LrScaled | e.LrSet) -> Iterator[SettingChange]:
    yield SettingChange("training", "learning_rate", event.before, event.after, rate)


def _set_lr_inverse(event: e.LrSet) -> Inverse | str:
    if event.before <= 0:
        return "no learning rate was in effect before this one"
    return Inverse(c.SetLr(event.before), "the rate is held there and decays from it; a warm-up does not come back")


SETTING_EVENTS: Final[tuple[AnyEventInfo, ...]] = (
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
)
