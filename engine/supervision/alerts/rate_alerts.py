"""Monitors of the rate of problems in the newest steps: skipped, norm over its bound, clamped, waiting for data."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import numpy as np

from engine.protocol.events import AlertRaised
from engine.protocol.record import record
from engine.protocol.task_spec import TaskSpec, Term
from engine.supervision.step_metrics import AlertOfRow, Latch, StepBlock, StepMetrics, observe_each

LEAST_WAIT = 0.005
"""Seconds of waiting for data that count at least: what is shorter is the cost of handing a batch over."""


class RollingRate:
    """Fraction (0..1) of the newest `size` steps with a property."""

    def __init__(self, size: int):
        self._held: deque[bool] = deque()
        self._size = size
        self._count = 0

    def add(self, *, held: bool) -> None:
        """Add one step."""
        self._held.append(held)
        self._count += held
        if len(self._held) > self._size:
            self._count -= self._held.popleft()

    def add_without(self, num_steps: int) -> None:
        """Add steps without the property."""
        if not self._count:
            self._held.extend([False] * min(num_steps, self._size - len(self._held)))
            return
        for _ in range(num_steps):
            self.add(held=False)

    @property
    def share(self) -> float:
        """Fraction of the steps so far, up to the window's size; 0 for none."""
        return self._count / len(self._held) if self._held else 0.0

    @property
    def is_full(self) -> bool:
        """Whether enough steps were added for a meaningful fraction."""
        return len(self._held) == self._size

    @property
    def newest(self) -> tuple[bool, ...]:
        """The property of the newest steps, oldest first."""
        return tuple(self._held)

    def clear(self) -> None:
        """Forget all steps."""
        self._held.clear()
        self._count = 0


@record
class RateRule:
    """A property of a step, and the alert if at least `alarm` of the newest `size` steps have it.

    `is_any_troubled` is whether a step of a block has it. `evidence` receives the fraction and the step. The alert
    clears at half of `alarm`. `term` is the name of a loss term.
    """

    kind: str
    size: int
    alarm: float
    is_troubled: Callable[[StepMetrics], bool]
    is_any_troubled: Callable[[StepBlock], bool]
    evidence: Callable[[float, StepMetrics], str]
    remedy: str
    term: str = ""


class ShareMonitor:
    """Raises the alert of one `RateRule`."""

    def __init__(self, trouble: RateRule):
        self._trouble = trouble
        self.window = RollingRate(trouble.size)
        self.latch = Latch()

    def observe(self, observed: StepMetrics) -> tuple[AlertRaised, ...]:
        """Return alerts; see `Monitor.observe`."""
        trouble = self._trouble
        self.window.add(held=trouble.is_troubled(observed))
        share = self.window.share
        on = self.window.is_full and share >= trouble.alarm
        if not self.latch.rises(observed.number, on=on, off=share <= trouble.alarm / 2):
            return ()
        message = trouble.evidence(share, observed)
        module = observed.state.spec.component_of(trouble.term) if trouble.term else ""
        return (AlertRaised(trouble.kind, message, trouble.remedy, trouble.term, module, at_step=observed.number),)

    def observe_block(self, block: StepBlock) -> list[AlertOfRow]:
        """Return alerts; see `Monitor.observe_block`."""
        if self.window.share or self._trouble.is_any_troubled(block):
            return observe_each(self, block)
        self.window.add_without(len(block))
        self.latch.is_up = False
        return []

    def reset(self) -> None:
        """Forget the history; see `Monitor.reset`."""
        self.window.clear()


def share_monitors(spec: TaskSpec, max_grad_norm: float) -> Iterator[ShareMonitor]:
    """Yield one monitor per problem; the bound on gradient norms before clipping is `max_grad_norm`."""
    yield ShareMonitor(
        RateRule(
            "gradient norm",
            50,
            0.5,
            lambda observed: observed.metrics.get("grad_norm/total", 0.0) > max_grad_norm,
            lambda block: bool((block.column("grad_norm/total") > max_grad_norm).any()),
            lambda share, observed: (
                f"{100 * share:.0f} % of the newest 50 gradient norms lie over {max_grad_norm:g}, "
                f"the last at {observed.metrics['grad_norm/total']:.3g}"
            ),
            "stable gradient norms stay under 10: reduce the learning rate, or clip the gradient at less",
        )
    )
    yield ShareMonitor(
        RateRule(
            "skipped steps",
            100,
            0.05,
            lambda observed: not observed.is_finite,
            lambda block: False,
            lambda share, observed: f"{100 * share:.0f} % of the newest 100 steps were not finite and changed nothing",
            "further reduce the learning rate (to 1e-6); "
            f"check which {spec.component_noun} module causes the instability",
        )
    )
    yield ShareMonitor(
        RateRule(
            "data stall",
            50,
            0.5,
            lambda observed: observed.metrics.get("data_wait", 0.0) > max(0.5 * observed.seconds, LEAST_WAIT),
            lambda block: bool((block.column("data_wait") > np.maximum(0.5 * block.seconds, LEAST_WAIT)).any()),
            lambda share, observed: (
                f"{100 * share:.0f} % of the newest 50 steps spent more than half of their time waiting for data, "
                f"the last {observed.metrics['data_wait']:.2f} of {observed.seconds:.2f} s"
            ),
            "prepare batches in more processes: a larger data.num_workers, or a faster disk",
        )
    )
    yield from (ShareMonitor(_saturation(term)) for term in spec.terms if term.clamped)


def _saturation(clamped: Term) -> RateRule:
    term = clamped.name
    off = f", or disable {clamped.component}" if clamped.component else ""
    return RateRule(
        "loss clamp",
        100,
        0.5,
        lambda observed: observed.metrics.get(f"clamp_hits/{term}", 0.0) > 0,
        lambda block: bool((block.column(f"clamp_hits/{term}") > 0).any()),
        lambda share, observed: (
            f"{100 * share:.0f} % of the newest 100 {term} losses lie over the clamp, "
            f"the last at {observed.metrics.get(f'loss_raw/{term}', 0.0):.3g}"
        ),
        f"monitor the loss components; lower the learning rate{off} until the rest trains stably",
        term,
    )
