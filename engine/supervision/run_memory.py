"""The memory that are kept of a run's steps and that outlive the process: a checkpoint holds them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from engine.config.tree import RunConfig
from engine.protocol.codec import from_json, from_text, to_text
from engine.protocol.events import ValidationCompleted
from engine.protocol.task_spec import TaskSpec
from engine.supervision.autopilot import AutopilotState
from engine.supervision.baseline import UNKNOWN, Baseline, LossLevel
from engine.supervision.gate import GateWindow
from engine.supervision.guardian_types import GuardianState
from engine.supervision.monitors import MonitorMemory, MonitorSuite


@dataclass(frozen=True, slots=True)
class _Page:
    """The memory as a checkpoint keeps them."""

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


class RunMemory:
    """What has to be known of the steps before to step_monitor the next: the gate's window, and who remembers what.

    `clean_steps` and `skipped_in_a_row` count the newest steps; `phase` is the one that the window tells of; `baseline`
    is what a run that has learned nothing would cost.
    """

    def __init__(self, config: RunConfig, spec: TaskSpec):
        self.window = GateWindow(config.gate.window_steps)
        self.watch = MonitorSuite(config, spec)
        self.baseline = Baseline({}, {})
        self.phase = -1
        self.clean_steps = 0
        self.skipped_in_a_row = 0
        self.guardian = GuardianState()
        self.autopilot = AutopilotState()

    def note_validation(self, summary: ValidationCompleted, score: str) -> None:
        """Note a validation's metric `score` for the gate, NaN where the loss was not finite."""
        value = summary.metrics.get(score, math.nan)
        self.window.mious.append(value if math.isfinite(summary.loss) else math.nan)

    def state_text(self) -> str:
        """The memory as a checkpoint keeps them."""
        page = _Page(
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
        )
        return to_text(page)

    def rewind(self, text: str) -> None:
        """Become what `to_text` gave, except for the memories: whoever rolled back must know that he did."""
        page = from_json(_Page, from_text(text))
        self.clean_steps, self.phase = page.clean_steps, page.phase
        self.window.clear()
        self.window.losses.extend(page.losses)
        self.window.grad_norms.extend(page.grad_norms)
        self.window.skipped.extend(page.skipped)
        self.window.mious.extend(page.mious)
        self.window.margins.extend(page.margins)
        self.window.level = page.level

    def load_state_dict(self, text: str) -> None:
        """Become what `to_text` gave, in another process."""
        self.rewind(text)
        page = from_json(_Page, from_text(text))
        self.skipped_in_a_row, self.guardian, self.autopilot = page.skipped_in_a_row, page.guardian, page.autopilot
        if page.watch is not None:
            self.watch.recall(page.watch)
