"""The gate before a promotion: has the run been calm and has it learned since the phase began?"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from engine.config import GateConfig
from engine.protocol.state import GateCheck, RunState


@dataclass(slots=True)
class GateWindow:
    """The last steps and validations of the current phase."""

    size: int
    losses: deque[float] = field(init=False)
    grad_norms: deque[float] = field(init=False)
    skipped: deque[bool] = field(init=False)
    mious: list[float] = field(default_factory=lambda: [])

    def __post_init__(self) -> None:
        self.losses = deque(maxlen=self.size)
        self.grad_norms = deque(maxlen=self.size)
        self.skipped = deque(maxlen=self.size)

    def add(self, *, loss: float, grad_norm: float, finite: bool) -> None:
        """One more step."""
        self.skipped.append(not finite)
        if finite:
            self.losses.append(loss)
            self.grad_norms.append(grad_norm)

    def clear(self) -> None:
        """A new phase begins: what was before says nothing about it."""
        self.losses.clear()
        self.grad_norms.clear()
        self.skipped.clear()
        self.mious.clear()


def slope_with_error(values: list[float]) -> tuple[float, float]:
    """Least-squares slope of `values` per step and its standard error; (0, inf) for fewer than 3 values."""
    count = len(values)
    if count < 3:
        return 0.0, math.inf
    centre = (count - 1) / 2
    mean = sum(values) / count
    spread = sum((i - centre) ** 2 for i in range(count))
    slope = sum((i - centre) * (value - mean) for i, value in enumerate(values)) / spread
    residual = sum((value - mean - slope * (i - centre)) ** 2 for i, value in enumerate(values))
    return slope, math.sqrt(residual / (count - 2) / spread)


def gate_checks(window: GateWindow, state: RunState, gate: GateConfig) -> tuple[GateCheck, ...]:
    """Every condition for a promotion with its measured value (SEED.md: steady decrease, norms under 10, no NaN)."""
    in_phase = state.step - state.phase_started_at
    slope, error = slope_with_error(list(window.losses))
    norms = sorted(window.grad_norms)
    high = norms[int(0.95 * (len(norms) - 1))] if norms else 0.0
    skipped = sum(window.skipped)
    rising = f"at most {200 * error:.2g} (noise)" if math.isfinite(error) else "not rising"
    return (
        GateCheck("steps in phase", str(in_phase), f"at least {gate.min_steps}", in_phase >= gate.min_steps),
        GateCheck("loss slope per 100 steps", f"{100 * slope:+.3g}", rising, slope <= 2 * error),
        GateCheck("gradient norm (95 %)", f"{high:.3g}", f"under {gate.max_grad_norm:g}", high < gate.max_grad_norm),
        GateCheck("non-finite steps", str(skipped), "0 in the window", skipped == 0),
        _miou_check(window.mious, gate),
    )


def _miou_check(mious: list[float], gate: GateConfig) -> GateCheck:
    """Validation mIoU may lie at most `max_miou_drop` under the phase's best; a phase without validation passes.

    A validation that was not finite counts as NaN, and fails.
    """
    name, bound = "validation mIoU", f"within {gate.max_miou_drop:g} of the phase's best"
    if not mious:
        return GateCheck(name, "not measured", bound, True)
    return GateCheck(
        name,
        f"{mious[-1]:.3f}",
        bound,
        mious[-1] >= max(filter(math.isfinite, mious), default=0.0) - gate.max_miou_drop,
    )
