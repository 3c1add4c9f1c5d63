"""The sections of a configuration on what watches and bounds a training: gate, guards, autopilot, limits, alerts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from engine.config.sections import Count, Fraction, LearningRate, Positive, Section
from engine.protocol.conditions.syntax import parse_condition
from engine.protocol.words.command_syntax import parse_command


class GateConfig(Section, frozen=True):
    """Conditions for a promotion to the next phase (gradient norms stay under 10)."""

    min_steps: Annotated[int, Field(ge=1)] = 100
    """Minimum steps in a phase."""
    window_steps: Annotated[int, Field(ge=4, le=10_000)] = 100
    """Number of newest steps that the gate checks. A checkpoint is good after as many clean steps."""
    max_grad_norm: Positive = 10.0
    """Upper bound on the 95th percentile of the gradient norms in the window, before clipping."""
    max_miou_drop: Fraction = 0.02
    """Maximum drop of the score below the phase's best: a fraction of its range, or of the best if it has none."""


class RecoveryConfig(Section, frozen=True):
    """Automatic reactions of the guardian to non-finite steps and failed promotions. Each is logged with its reason."""

    enabled: bool = True
    """Act on faults; false only warns. `guardian on` and `guardian off` switch it during the run."""
    bad_steps: Annotated[int, Field(ge=1, le=1000)] = 5
    """Number of non-finite steps among the newest window_steps that triggers a rollback to the last good checkpoint."""
    window_steps: Annotated[int, Field(ge=1, le=10_000)] = 20
    """Number of newest steps in which non-finite ones are counted."""
    lr_factor: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Factor on the learning rate at each rollback."""
    max_rollbacks: Annotated[int, Field(ge=0, le=100)] = 3
    """Maximum rollbacks in one stretch. The next fault disables the refinement to blame, or stops the run."""
    stretch_steps: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    """Steps beyond the farthest fault after which a new stretch begins."""
    probation_steps: Annotated[int, Field(ge=0, le=1_000_000)] = 150
    """Steps after a promotion in which a fault returns the run to the previous phase; 0 for no probation."""
    storm_spikes: Annotated[int, Field(ge=1, le=1000)] = 3
    """Number of spikes within storm_steps that make a storm."""
    storm_steps: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Maximum length in steps of a storm of spikes."""
    on_spike_storm: Literal["alert", "lower_lr"] = "alert"
    """Reaction to a storm outside a probation: an alert, or also a learning rate lower by lr_factor."""
    memory_retry_steps: Annotated[int, Field(ge=0, le=1_000_000)] = 1000
    """Steps after a halving of the batch, out of memory, until the former size is tried once more; 0 for never."""

    @model_validator(mode="after")
    def _reachable(self) -> RecoveryConfig:
        for count, window in (("bad_steps", "window_steps"), ("storm_spikes", "storm_steps")):
            if getattr(self, count) > getattr(self, window):
                raise ValueError(f"guard.recovery.{count} must not be above guard.recovery.{window}")
        return self


class GuardConfig(Section, frozen=True):
    """Monitors of the run, and their limits."""

    max_skipped_in_a_row: Count = 50
    """Consecutive non-finite steps after which the run fails."""
    check_weights_every: Count = 10
    """Steps between finite checks of all weights and optimizer moments, before the update."""
    spike_score: Positive = 4.5
    """Robust deviations above the median of the newest 100 values that make a loss or gradient norm a spike."""
    plateau_steps: Annotated[int, Field(ge=0)] = 1000
    """Steps without a decrease of the loss until a plateau alert; 0 for no such alert."""
    dead_steps: Count = 50
    """Consecutive steps with zero gradient before an active module is reported as dead."""
    adaptive_clip: Literal["off", "zclip", "agc"] = "off"
    """Clip below gradient_clip too: zclip limits outliers of the norm, agc gradients large for their weights."""
    share_every_steps: Annotated[int, Field(ge=0)] = 10
    """Steps between measurements of each refinement's gradient share; 0 for none."""
    max_grad_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Maximum gradient share of one refinement in the shared network; 0 for no limit."""
    max_forensics: Count = 5
    """Number of evidence folders kept, each with the weights: the first faults and the newest."""
    recovery: RecoveryConfig = RecoveryConfig()


class AutopilotConfig(Section, frozen=True):
    """Automatic promotion through the phases without a user (--autopilot): by their gates, then a final tuning."""

    enabled: bool = False
    """Promote automatically (--autopilot). `autopilot on` and `autopilot off` switch it during the run."""
    final_share: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    """Fraction of the run, at its end, that is trained at final_learning_rate; 0 for none."""
    final_learning_rate: LearningRate = 1e-6
    """Initial learning rate of the final tuning, from which it decays, unless it is lower already."""
    retry_steps: Annotated[int, Field(ge=1, le=1_000_000)] = 200
    """Steps to wait after a failed probation, doubled after each further failure of the same phase."""
    max_failures: Annotated[int, Field(ge=1, le=100)] = 3
    """Failed probations after which a phase is not tried again."""


class AlertRule(Section, frozen=True):
    """One alert rule: a condition on each step, and what happens when it holds."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z][\w-]{0,39}$")]
    """Name of the rule, one word; its alerts are of the kind `rule NAME`."""
    when: str
    """Condition, as `wait` takes it: `loss>5 or nan>0`."""
    for_steps: Count = 1
    """Consecutive steps for which the condition must hold."""
    severity: Literal["info", "warning", "error"] = "warning"
    """Severity of the alert; one of severity info is listed without asking for attention."""
    command: str = ""
    """Command to send, such as `lower-lr 0.5`, within the limits of all commands; empty for none."""
    again_after_steps: Count = 200
    """Steps after which the rule fires again if its condition holds."""
    once: bool = False
    """Fire only once in a run."""

    @field_validator("when")
    @classmethod
    def _readable(cls, text: str) -> str:
        parse_condition(text)
        return text

    @field_validator("command")
    @classmethod
    def _known(cls, text: str) -> str:
        if text.strip():
            parse_command(text.split())
        return text.strip()


class LimitsConfig(Section, frozen=True):
    """Limits on interventions of users, guardian and autopilot."""

    lr_min: LearningRate = 1e-9
    """Minimum learning rate that a command may set."""
    lr_max: LearningRate = 1e-2
    """Maximum learning rate that a command may set."""
    max_lr_factor: Annotated[float, Field(gt=1)] = 10.0
    """Maximum factor by which one command may raise the learning rate."""

    @model_validator(mode="after")
    def _ordered(self) -> LimitsConfig:
        if self.lr_min >= self.lr_max:
            raise ValueError(f"limits.lr_min must be below limits.lr_max, but {self.lr_min:g} >= {self.lr_max:g}")
        return self
