"""Define the state of a run: the decided part, which `evolve` alone changes, and the measured part.

Each field is in a dataclass, for readers, and in a TypedDict, by which a type checker sees every change of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import field, replace
from types import MappingProxyType
from typing import Final, TypedDict, Unpack

from engine.protocol.commands import KnobValue
from engine.protocol.events import Activity
from engine.protocol.record import record
from engine.protocol.task_spec import NO_SPEC, TaskSpec

_SWITCH: Final = {"on": True, "true": True, "off": False, "false": False}


@record
class Limits:
    """Limits on interventions: the range of the learning rate, and its maximum factor in one command.

    Up to `lr_configured`, the peak of the schedule, it may be set without that factor: early in warm-up the rate is
    low.
    """

    lr_min: float = 1e-9
    lr_max: float = 1e-2
    lr_configured: float = 0.0
    max_lr_factor: float = 10.0
    max_batch_size: int = 1024
    max_accumulation: int = 1024
    max_loss_weight: float = 100.0
    max_gradient_clip: float = 1000.0


VALIDATION: Final = "validation"
"""Prefix of the gate check that a validation measures. All other checks need steps only."""


@record
class GateCheck:
    """One condition of a promotion, with the measured value and its bound.

    A check that is not yet `measured` is pending: it has neither passed nor failed.
    """

    name: str
    value: str
    bound: str
    passed: bool
    measured: bool = True

    @property
    def needs_validation(self) -> bool:
        """Whether a validation measures it, not further steps."""
        return self.name.startswith(f"{VALIDATION} ")


@record
class LrPin:
    """A learning rate set by hand at `at_epoch` (epochs, fractional). Warm-up is over; the decay continues from it."""

    value: float
    at_epoch: float


@record
class Probation:
    """A promotion that enabled `enabled` is on probation: until `until_step` a fault reverts it.

    The run then returns to `checkpoint` and phase `former_phase`.
    """

    checkpoint: str
    former_phase: int
    until_step: int
    enabled: tuple[str, ...] = ()


@record
class Knob:
    """A setting that the training's own code declared, with its value and its range.

    The type of `value` is the knob's: a number, a whole number, on or off, or one of `choices`. `low` and `high` bound
    a number; `None` is no bound.
    """

    value: KnobValue
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        """The values that the knob takes, in words: 'a number in 0.1..2'."""
        if isinstance(self.value, bool):
            return "on or off"
        if isinstance(self.value, str):
            return f"one of {', '.join(self.choices)}"
        kind = "a whole number" if isinstance(self.value, int) else "a number"
        if self.low is not None and self.high is not None:
            return f"{kind} in {self.low:g}..{self.high:g}"
        if self.low is not None:
            return f"{kind} of at least {self.low:g}"
        return kind if self.high is None else f"{kind} of at most {self.high:g}"

    def accepts(self, value: KnobValue) -> bool:
        """Return whether `value` has the knob's type and lies in its range."""
        if type(value) is not type(self.value):
            return False
        if isinstance(value, bool):
            return True
        if isinstance(value, str):
            return value in self.choices
        is_above = self.low is None or value >= self.low
        return math.isfinite(value) and is_above and (self.high is None or value <= self.high)

    def as_value(self, asked: KnobValue) -> KnobValue | None:
        """Return `asked` as a value of the knob's type, whatever its range; `None` if it is none."""
        if isinstance(self.value, bool):
            return asked if isinstance(asked, bool) else _SWITCH.get(str(asked).lower())
        if isinstance(self.value, str):
            return next((choice for choice in self.choices if _names(choice, asked)), None)
        return _as_number(asked, whole=isinstance(self.value, int))

    def clamp(self, asked: KnobValue) -> tuple[KnobValue, str]:
        """Return the value nearest to `asked` in the knob's range, and the bound that it met or an empty string."""
        if isinstance(asked, bool | str):
            return asked, ""
        whole = isinstance(asked, int)
        if self.high is not None and asked > self.high:
            return math.floor(self.high) if whole else float(self.high), f"upper bound is {self.high:g}"
        if self.low is not None and asked < self.low:
            return math.ceil(self.low) if whole else float(self.low), f"lower bound is {self.low:g}"
        return asked, ""


def _names(choice: str, asked: KnobValue) -> bool:
    """Return whether `asked` is `choice`, also one that reads like a number or a switch."""
    if isinstance(asked, str):
        return choice == asked
    if isinstance(asked, bool):
        return _SWITCH.get(choice.lower()) is asked
    return _as_number(choice) == asked


def _as_number(asked: KnobValue, *, whole: bool = False) -> float | int | None:
    """Return the finite number that `asked` is or spells; `None` if it is none, or not `whole` if it has to be."""
    if isinstance(asked, bool):
        return None
    try:
        number = float(asked)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(number):
        return None
    if not whole:
        return number
    return asked if isinstance(asked, int) else int(number) if number.is_integer() else None


def knob_text(value: KnobValue) -> str:
    """Return the value of a knob as a user writes it: 0.7, on, off or the choice."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@record
class Decided:
    """The part of a state that the run's events determine: `evolve` computes it from them.

    `enabled_at` is the step at which a refinement was enabled, unless it was on from the start. `fault` is the newest
    diagnosed fault in words. `rollbacks` counts those of the guardian. `limits` is constant. The spec is stored in the
    journal's meta, not in each state.
    """

    run: str
    activity: Activity = Activity.STARTING
    lr_scale: float = 1.0
    lr_pin: LrPin | None = None
    phase: int = 0
    phase_started_at: int = 0
    refinements: frozenset[str] = frozenset()
    enabled_at: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    loss_weights: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    gradient_clip: float = 1.0
    accumulation: int = 1
    batch_size: int = 2
    optimizer: str = "adamw"
    score: float | None = None
    best_score: float | None = None
    best_step: int | None = None
    skipped_steps: int = 0
    alerts: int = 0
    rejected_samples: int = 0
    last_checkpoint: str = ""
    guardian: bool = True
    autopilot: bool = False
    spikes: int = 0
    rollbacks: int = 0
    fault: str = ""
    probation: Probation | None = None
    excluded_samples: frozenset[str] = frozenset()
    knobs: Mapping[str, Knob] = field(default_factory=lambda: MappingProxyType({}))
    limits: Limits = Limits()
    spec: TaskSpec = NO_SPEC


@record
class RunState(Decided):
    """The complete state of a run except its tensors. It is immutable, and stored in checkpoints and the journal.

    The measured part comes from the engine, the clock and the disk. `gate` holds the newest measurement of every check.
    `good_checkpoint` and `checkpoints` name existing files. `steps_until_pause` is counted down. `doing` is the
    engine's activity in words ('importing torch'), an empty string while it executes steps. `clip_rate` is the fraction
    (0..1) of the newest steps whose gradient was clipped. An event with such a value sets it before the next
    measurement.
    """

    device: str = ""
    step: int = 0
    epoch: int = 0
    total_steps: int = 0
    lr: float = 0.0
    steps_until_pause: int | None = None
    gate: tuple[GateCheck, ...] = ()
    loss: float | None = None
    grad_norm: float | None = None
    clamp_hits: int = 0
    good_checkpoint: str = ""
    checkpoints: tuple[str, ...] = ()
    samples_per_second: float = 0.0
    doing: str = ""
    clip_rate: float = 0.0


class Decisions(TypedDict, total=False):
    """New values of decided fields; `run` never changes."""

    activity: Activity
    lr_scale: float
    lr_pin: LrPin | None
    phase: int
    phase_started_at: int
    refinements: frozenset[str]
    enabled_at: Mapping[str, int]
    loss_weights: Mapping[str, float]
    gradient_clip: float
    accumulation: int
    batch_size: int
    optimizer: str
    score: float | None
    best_score: float | None
    best_step: int | None
    skipped_steps: int
    alerts: int
    rejected_samples: int
    last_checkpoint: str
    guardian: bool
    autopilot: bool
    spikes: int
    rollbacks: int
    fault: str
    probation: Probation | None
    excluded_samples: frozenset[str]
    knobs: Mapping[str, Knob]
    limits: Limits
    spec: TaskSpec


class Measurements(TypedDict, total=False):
    """New values of measured fields."""

    device: str
    step: int
    epoch: int
    total_steps: int
    lr: float
    steps_until_pause: int | None
    gate: tuple[GateCheck, ...]
    loss: float | None
    grad_norm: float | None
    clamp_hits: int
    good_checkpoint: str
    checkpoints: tuple[str, ...]
    samples_per_second: float
    doing: str
    clip_rate: float


def with_decided(state: RunState, **decided: Unpack[Decisions]) -> RunState:
    """Return `state` with new decided values: for `evolve`, and for the state that a resumed run starts from."""
    return replace(state, **decided)


def with_measured(state: RunState, **measured: Unpack[Measurements]) -> RunState:
    """Return `state` with new measured values."""
    return replace(state, **measured)
