"""Monitor and policy state that is saved in checkpoints."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import cast

from engine.config.tree import RunConfig
from engine.protocol.codec import Json, from_json, to_json
from engine.protocol.events import ValidationCompleted
from engine.protocol.record import record
from engine.protocol.state import GateCheck, RunState
from engine.protocol.task_spec import TaskSpec
from engine.supervision.autopilot import AutopilotState
from engine.supervision.baseline import UNKNOWN, Baseline, LossLevel
from engine.supervision.gate import GateWindow, gate_checks
from engine.supervision.guardian_types import GuardianState
from engine.supervision.monitors import MonitorMemory, MonitorSuite

FaultKind = tuple[tuple[str, ...], ...]
"""The non-finite values that a step reports: terms, gradients, weights and moments, by name."""


@record
class _Diagnosed:
    """The index of the newest step with a diagnosed fault of this kind."""

    kind: FaultKind
    index: int


@dataclass(slots=True)
class EpochLoss:
    """Sum and number of the finite losses of one epoch."""

    total: float = 0.0
    count: int = 0

    def add(self, loss: float) -> None:
        """Add a finite loss."""
        self.total += loss
        self.count += 1

    @property
    def mean(self) -> float:
        """Mean of the losses; NaN without any."""
        return self.total / self.count if self.count else math.nan


@record
class Halved:
    """The newest halving of the batch, before the step after `at_step`.

    `former` and `current` are the batch size and the accumulation before and after it. `is_retried` is whether a former
    size was tried once more.
    """

    at_step: int
    former: tuple[int, int]
    current: tuple[int, int]
    is_retried: bool = False

    def retried(self) -> Halved:
        """Return the same halving after its former size was tried once more."""
        return replace(self, is_retried=True)


@record
class _Saved:
    """The memory in a checkpoint; a checkpoint of an earlier version lacks the later fields."""

    clean_steps: int = 0
    skipped_in_a_row: int = 0
    phase: int = -1
    losses: tuple[float, ...] = ()
    grad_norms: tuple[float, ...] = ()
    skipped: tuple[bool, ...] = ()
    mious: tuple[float, ...] = ()
    margins: tuple[float, ...] = ()
    level: LossLevel = UNKNOWN
    guardian: GuardianState = field(default_factory=GuardianState)
    autopilot: AutopilotState = field(default_factory=AutopilotState)
    watch: MonitorMemory | None = None
    alerted: frozenset[str] = frozenset()
    warned_at: int | None = None
    diagnosed: tuple[_Diagnosed, ...] = ()
    is_validation_doubted: bool = False
    epoch_loss: EpochLoss = field(default_factory=EpochLoss)
    halved: Halved | None = None
    scored_by: str = ""


class RunMemory:
    """The gate's window, the monitors' statistics and the memory of guardian, autopilot and diagnosis.

    `clean_steps` and `skipped_in_a_row` count the newest steps; `phase` is that of the window. `baseline` is the cost
    of a run that has learned nothing. `alerted` holds the kinds of alert that are raised once in a run. `warned_at` is
    the step of the last warning from a guardian that is off; `None` before the first. `diagnosed_at` is the index of
    the newest step with a diagnosed fault, by kind. `is_validation_doubted` is whether the newest validation was not
    finite. `halved` is the newest halving of the batch, `None` before the first. `epoch_loss` is that of the current
    epoch. `validation_due` is whether an epoch has ended without its validation; a checkpoint contains it as a field of
    its own.
    """

    def __init__(self, config: RunConfig, spec: TaskSpec, baseline: Baseline | None = None):
        self.window = GateWindow(config.gate.window_steps)
        self.watch = MonitorSuite(config, spec)
        self.baseline = baseline or Baseline({}, {})
        self.phase = -1
        self.clean_steps = 0
        self.skipped_in_a_row = 0
        self.guardian = GuardianState()
        self.autopilot = AutopilotState()
        self.warned_at: int | None = None
        self.diagnosed_at: dict[FaultKind, int] = {}
        self.is_validation_doubted = False
        self.epoch_loss = EpochLoss()
        self.halved: Halved | None = None
        self.validation_due = False
        self._alerted: set[str] = set()
        self._scored_by = spec.score

    def note_validation(self, summary: ValidationCompleted, score: str) -> None:
        """Add a validation's metric `score` for the gate, NaN if the loss was not finite, and all of them for rules."""
        value = summary.metrics.get(score, math.nan)
        is_sound = summary.loss is None or math.isfinite(summary.loss)
        if score != self._scored_by:
            self.window.mious.clear()
        self._scored_by = score
        self.window.mious.append(value if is_sound else math.nan)
        self.watch.rules.note_validation(summary)

    def gate_checks(self, state: RunState, config: RunConfig) -> tuple[GateCheck, ...]:
        """Return the checks of the gate for `state`. In a phase that has just begun none is measured."""
        gate, is_new = config.gate, self.phase != state.phase
        window = GateWindow(gate.window_steps) if is_new else self.window
        ill = None if is_new else self.watch.ill(state, min(gate.min_steps, config.guard.dead_steps))
        has_baseline = self.baseline.covers(state.spec.active_terms(state.refinements))
        return gate_checks(window, state, gate, ill, has_baseline=has_baseline)

    def note_alert(self, kind: str) -> bool:
        """Add an alert of that kind. Return whether it is the run's first one."""
        is_first = kind not in self._alerted
        self._alerted.add(kind)
        return is_first

    def state_dict(self) -> dict[str, Json]:
        """Return the memory as plain JSON values, for a checkpoint."""
        saved = _Saved(
            clean_steps=self.clean_steps,
            skipped_in_a_row=self.skipped_in_a_row,
            phase=self.phase,
            losses=tuple(self.window.losses),
            grad_norms=tuple(self.window.grad_norms),
            skipped=tuple(self.window.skipped),
            mious=tuple(self.window.mious),
            margins=tuple(self.window.margins),
            level=self.window.level,
            guardian=self.guardian,
            autopilot=self.autopilot,
            watch=self.watch.memory(),
            alerted=frozenset(self._alerted),
            warned_at=self.warned_at,
            diagnosed=tuple(_Diagnosed(kind, index) for kind, index in self.diagnosed_at.items()),
            is_validation_doubted=self.is_validation_doubted,
            epoch_loss=self.epoch_loss,
            halved=self.halved,
            scored_by=self._scored_by,
        )
        return cast(dict[str, Json], to_json(saved))

    def rewind(self, state: Json) -> None:
        """Restore the statistics of steps after a rollback. Raises WireError.

        The memory of guardian, autopilot, alerts and diagnoses is kept, so that they remember the steps rolled back.
        """
        self._restore_window(from_json(_Saved, state))

    def load_state_dict(self, state: Json) -> None:
        """Restore all that `state_dict` returned in another process. Raises WireError."""
        saved = from_json(_Saved, state)
        self._restore_window(saved)
        self.skipped_in_a_row, self.guardian, self.autopilot = saved.skipped_in_a_row, saved.guardian, saved.autopilot
        if saved.watch is not None:
            self.watch.recall(saved.watch)
        self._alerted = set(saved.alerted)
        self.warned_at = saved.warned_at
        self.diagnosed_at = {diagnosed.kind: diagnosed.index for diagnosed in saved.diagnosed}
        self.is_validation_doubted = saved.is_validation_doubted
        self.halved = saved.halved

    def _restore_window(self, saved: _Saved) -> None:
        self.clean_steps, self.phase = saved.clean_steps, saved.phase
        self.epoch_loss = saved.epoch_loss
        self.window.clear()
        self.window.losses.extend(saved.losses)
        self.window.grad_norms.extend(saved.grad_norms)
        self.window.skipped.extend(saved.skipped)
        if self._is_own_score(saved.scored_by):
            self.window.mious.extend(saved.mious)
        self.window.margins.extend(saved.margins)
        self.window.level = saved.level

    def _is_own_score(self, name: str) -> bool:
        """Return whether the metric `name` is the score. An empty string, of an earlier version, is taken for it."""
        return not (name and self._scored_by) or name == self._scored_by
