"""The promotion gate: checks that the run was stable and has learned since the phase began."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field, replace

from engine.config.supervision_sections import GateConfig
from engine.protocol.state import VALIDATION, GateCheck, RunState
from engine.protocol.task_spec import TaskSpec
from engine.supervision.baseline import UNKNOWN, LossLevel

_CERTAIN = 3.0
"""Standard errors by which a loss must be below the baseline. It is high because the gate is checked repeatedly."""


@dataclass(slots=True)
class GateWindow:
    """The newest steps and validations of the current phase.

    `margins` are the losses minus the loss of the best blind answer at their step's weights; `level` is that of the
    newest step.
    """

    size: int
    losses: deque[float] = field(init=False)
    margins: deque[float] = field(init=False)
    grad_norms: deque[float] = field(init=False)
    skipped: deque[bool] = field(init=False)
    mious: list[float] = field(default_factory=lambda: [])
    level: LossLevel = UNKNOWN

    def __post_init__(self) -> None:
        self.losses = deque(maxlen=self.size)
        self.margins = deque(maxlen=self.size)
        self.grad_norms = deque(maxlen=self.size)
        self.skipped = deque(maxlen=self.size)

    def add(self, *, loss: float, grad_norm: float, finite: bool, level: LossLevel = UNKNOWN) -> None:
        """Add one step; `level` is the loss of an untrained network at its weights."""
        self.skipped.append(not finite)
        if not finite:
            return
        self.losses.append(loss)
        self.grad_norms.append(grad_norm)
        self.level = level
        if math.isfinite(level.blind):
            self.margins.append(loss - level.blind)

    def clear(self) -> None:
        """Forget the previous phase at the start of a new one."""
        for values in (self.losses, self.margins, self.grad_norms, self.skipped, self.mious):
            values.clear()


def slope_with_error(values: list[float]) -> tuple[float, float]:
    """Return the least-squares slope of `values` per step and its standard error.

    Return (0, inf) for fewer than 3 values.
    """
    count = len(values)
    if count < 3:
        return 0.0, math.inf
    centre = (count - 1) / 2
    mean = sum(values) / count
    spread = sum((i - centre) ** 2 for i in range(count))
    slope = sum((i - centre) * (value - mean) for i, value in enumerate(values)) / spread
    residual = sum((value - mean - slope * (i - centre)) ** 2 for i, value in enumerate(values))
    return slope, math.sqrt(residual / (count - 2) / spread)


def gate_checks(
    window: GateWindow,
    state: RunState,
    gate: GateConfig,
    ill: Collection[str] | None = None,
    *,
    has_baseline: bool = True,
) -> tuple[GateCheck, ...]:
    """Return every condition of a promotion with its measured value (decreasing loss, norms under 10, no NaN).

    `ill` names the modules with an open alert and its kind; `None` if they were not checked in this phase. Checks that
    cannot be measured are omitted: the baseline if `has_baseline` is False, the score if the task has none.
    """
    in_phase = state.step - state.phase_started_at
    enough = min(window.size, max(gate.min_steps, 3))
    baseline = (_chance_check(window, enough),) if has_baseline else ()
    score = (_score_check(window.mious, state.spec, gate),) if state.spec.score else ()
    return (
        GateCheck("steps in phase", str(in_phase), f"at least {gate.min_steps}", in_phase >= gate.min_steps),
        _slope_check(window, enough),
        *baseline,
        _norm_check(window, enough, gate),
        _finite_check(window, enough),
        _module_check(ill, in_phase, enough),
        *score,
    )


def _measured(check: GateCheck, num_steps: int, enough: int) -> GateCheck:
    """Return `check`, pending while there are too few steps."""
    if num_steps >= enough:
        return check
    value = f"{check.value} ({num_steps} of {enough} steps)" if num_steps else _UNKNOWN
    return replace(check, value=value, passed=False, measured=False)


def _slope_check(window: GateWindow, enough: int) -> GateCheck:
    slope, error = slope_with_error(list(window.losses))
    rising = f"at most {200 * error:.2g} (noise)" if math.isfinite(error) else "not rising"
    check = GateCheck("loss slope per 100 steps", f"{100 * slope:+.3g}", rising, slope <= 2 * error)
    return _measured(check, len(window.losses), enough)


def _chance_check(window: GateWindow, enough: int) -> GateCheck:
    """Return the check that the mean loss is below the best blind answer.

    The margin is three standard errors of the window's mean and of the baseline. A slow learner also passes if its loss
    is below chance by as much and falls by three standard errors of its slope. A network that knows only the class
    frequencies stops falling, and a dead one never falls.
    """
    margins, level = list(window.margins), window.level
    if not margins:
        return GateCheck("loss below chance", _UNKNOWN, _BELOW, False, measured=False)
    mean, own_error = sum(margins) / len(margins), _error_of_mean(margins)
    slope, slope_error = slope_with_error(margins)
    noise = _CERTAIN * math.hypot(own_error, level.error)
    learns = slope < -_CERTAIN * slope_error and level.blind + mean < level.chance - _CERTAIN * own_error
    value = f"{level.blind + mean:.4g}{', falling' if learns else ''}"
    falling = f", or under {level.chance:.4g} and falling" if math.isfinite(level.chance) else ""
    bound = f"under {level.blind - noise:.4g}{falling}" if math.isfinite(noise) else _BELOW
    return _measured(GateCheck("loss below chance", value, bound, mean < -noise or learns), len(margins), enough)


def _error_of_mean(values: list[float]) -> float:
    """Return the standard error of the mean of `values` from their scatter around a fitted line.

    Return inf for fewer than 3 values.
    """
    count = len(values)
    return slope_with_error(values)[1] * math.sqrt((count**2 - 1) / 12) if count > 2 else math.inf


def _norm_check(window: GateWindow, enough: int, gate: GateConfig) -> GateCheck:
    norms = sorted(window.grad_norms)
    high = norms[int(0.95 * (len(norms) - 1))] if norms else math.nan
    bound = f"under {gate.max_grad_norm:g}"
    check = GateCheck("gradient norm (95 %)", f"{high:.3g}", bound, high < gate.max_grad_norm)
    return _measured(check, len(norms), enough)


def _finite_check(window: GateWindow, enough: int) -> GateCheck:
    skipped = sum(window.skipped)
    check = GateCheck("non-finite steps", str(skipped), "0 in the window", skipped == 0)
    return check if skipped else _measured(check, len(window.skipped), enough)


def _module_check(ill: Collection[str] | None, in_phase: int, enough: int) -> GateCheck:
    """Return the check that no module is dead, vanishing or exploding."""
    name, bound = "modules", "none dead or exploding"
    if ill:
        few = sorted(ill)
        more = f" and {len(few) - 3} more" if len(few) > 3 else ""
        return GateCheck(name, ", ".join(few[:3]) + more, bound, False)
    check = GateCheck(name, "all well", bound, True)
    return _measured(check, 0 if ill is None else in_phase, enough)


def _score_check(scores: list[float], spec: TaskSpec, gate: GateConfig) -> GateCheck:
    """Return the check that the score is at most `max_miou_drop` worse than the phase's best.

    It is pending until the phase has a validation. The drop is a fraction of the score's range, or of the best score if
    its range is unknown. A non-finite validation counts as NaN and fails.
    """
    span = spec.score_range
    drop = f"{100 * gate.max_miou_drop:g} %" if span is None else f"{gate.max_miou_drop * span:g}"
    name, bound = f"{VALIDATION} {spec.score_title}", f"within {drop} of the phase's best"
    if not scores:
        return GateCheck(name, _UNKNOWN, bound, False, measured=False)
    known = list(filter(math.isfinite, scores))
    best = (min if spec.lower_is_better else max)(known, default=0.0)
    worse_by = (scores[-1] - best) if spec.lower_is_better else (best - scores[-1])
    most = gate.max_miou_drop * (abs(best) if span is None else span)
    return GateCheck(name, f"{scores[-1]:.3f}", bound, worse_by <= most)


_UNKNOWN = "not measured yet"
_BELOW = "below the best blind answer"
