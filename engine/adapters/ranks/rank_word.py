"""One decision of rank 0: what is in force in all processes of a training after a step boundary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from engine.adapters.hooks.optimizer_hooks import OptimizerHooks
from engine.adapters.run.attached_run import AttachedRun
from engine.adapters.run.knobs import KnobValue
from engine.protocol import events as e
from engine.protocol.events import Event
from engine.protocol.record import record


@record
class RankWord:
    """What is in force in all processes after a step boundary, and what the trainer is to do there.

    `weights` are those of loss terms, `step` is the number of steps done, and with `restore` a checkpoint follows.
    `is_gone` is whether all detach themselves here. `refused` is why the run cannot begin, an empty string if it can.
    """

    lr_scale: float = 1.0
    lr_pin: float | None = None
    lr_reference: float = 0.0
    clip: float = float("inf")
    knobs: Mapping[str, KnobValue] = field(default_factory=dict[str, KnobValue])
    weights: Mapping[str, float] = field(default_factory=dict[str, float])
    step: int = 0
    restore: bool = False
    stop: bool = False
    save: bool = False
    evaluate: bool = False
    is_gone: bool = False
    refused: str = ""

    @property
    def todo(self) -> frozenset[type[Event]]:
        """What the trainer is to do."""
        asked = {e.CheckpointRequested: self.save, e.ValidationRequested: self.evaluate}
        return frozenset(kind for kind, is_asked in asked.items() if is_asked)

    def bring_into_force(self, hooks: OptimizerHooks) -> None:
        """Set the learning rate and the clip of `hooks`, in another rank than 0."""
        rate = hooks.learning_rate
        rate.scale, rate.pin, rate.reference = self.lr_scale, self.lr_pin, self.lr_reference
        hooks.clip = self.clip


def word_in_force(run: AttachedRun, hooks: OptimizerHooks) -> RankWord:
    """Return the learning rate, the clip and the knobs that are in force in rank 0."""
    return RankWord(
        lr_scale=hooks.learning_rate.scale,
        lr_pin=hooks.learning_rate.pin,
        lr_reference=hooks.learning_rate.reference,
        clip=hooks.clip,
        knobs={name: knob.value for name, knob in run.recorder.state.knobs.items()},
    )
