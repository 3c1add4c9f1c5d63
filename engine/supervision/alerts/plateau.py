"""Detect a plateau: the loss does not fall although the learning rate is high enough."""

from __future__ import annotations

from collections import deque

from engine.protocol.events import AlertRaised
from engine.protocol.task_spec import TaskSpec
from engine.supervision.gate import slope_with_error
from engine.supervision.step_metrics import AlertOfRow, Latch, StepBlock, StepMetrics

_BLOCKS = 20
"""Number of blocks of steps whose means the slope is fitted to: cheap, and nearly normally distributed."""
_ALARM, _CLEAR = 0.02, 0.04
"""Maximum fall of a loss on a plateau over the window, plus its standard error, as a fraction of its value."""
_TINY_LR = 0.1
"""Fraction of the configured learning rate below which no progress is expected."""


class PlateauMonitor:
    """Fits a line to the losses of the newest `steps` steps, after each twentieth of them."""

    def __init__(self, steps: int):
        self._block_size = max(steps // _BLOCKS, 1)
        self._means: deque[float] = deque(maxlen=_BLOCKS)
        self._sum, self._count = 0.0, 0
        self._latch = Latch()

    def observe(self, observed: StepMetrics) -> tuple[AlertRaised, ...]:
        """Return alerts; see `Monitor.observe`."""
        if not observed.is_finite or not self._ends_block(observed.metrics["loss/total"]):
            return ()
        return self._end_block(observed)

    def observe_block(self, block: StepBlock) -> list[AlertOfRow]:
        """Return alerts; see `Monitor.observe_block`."""
        losses = enumerate(block.column("loss/total").tolist())
        ends = (row for row, loss in losses if self._ends_block(loss))
        return [(row, alert) for row in ends for alert in self._end_block(block.step(row))]

    def _ends_block(self, loss: float) -> bool:
        """Add a loss. Return whether it is the last one of a mean."""
        self._sum += loss
        self._count += 1
        return self._count >= self._block_size

    def _end_block(self, observed: StepMetrics) -> tuple[AlertRaised, ...]:
        self._means.append(self._sum / self._count)
        self._sum, self._count = 0.0, 0
        return self._step_monitor(observed) if len(self._means) == _BLOCKS else ()

    def _step_monitor(self, observed: StepMetrics) -> tuple[AlertRaised, ...]:
        slope, error = slope_with_error(list(self._means))
        level = sum(self._means) / _BLOCKS
        if level <= 0:  # every weight is 0: there is no loss
            return ()
        fall, least = -slope * _BLOCKS / level, (error - slope) * _BLOCKS / level
        lr, configured = observed.metrics.get("lr", 0.0), observed.state.limits.lr_configured
        on = least < _ALARM and lr >= _TINY_LR * configured
        if not self._latch.rises(observed.number, on=on, off=least > _CLEAR):
            return ()
        message = (
            f"the loss stays at {level:.4g}: over the newest {_BLOCKS * self._block_size} steps it fell by "
            f"{100 * fall:.2f} % of that, give or take {100 * (least - fall):.2f} %, at a learning rate of {lr:.2e}"
        )
        return (AlertRaised("plateau", message, _remedy(observed.state.spec), at_step=observed.number),)

    def reset(self) -> None:
        """Forget the history; see `Monitor.reset`."""
        self._means.clear()
        self._sum, self._count = 0.0, 0


def _remedy(spec: TaskSpec) -> str:
    return (
        "monitor the loss components against their chance levels; after stable training gradually enable more "
        f"{spec.component_noun}s (promote), or raise the learning rate if it was lowered"
    )
