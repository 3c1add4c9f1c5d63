"""All monitors of a run: process every step once and return alerts for users and the guardian."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from types import MappingProxyType

from engine.config.tree import RunConfig
from engine.protocol.codec import to_text
from engine.protocol.events import Event, SpikeDetected
from engine.protocol.record import record
from engine.protocol.state import RunState
from engine.protocol.task_spec import TaskSpec
from engine.supervision.alerts.module_health import ModuleMonitor
from engine.supervision.alerts.module_part import PartMemory
from engine.supervision.alerts.plateau import PlateauMonitor
from engine.supervision.alerts.rate_alerts import RollingRate, share_monitors
from engine.supervision.alerts.rules import AlertRules, RulesMemory
from engine.supervision.median_rule import MedianRule, RuleMemory
from engine.supervision.spikes import SpikeDetector, Tolerance
from engine.supervision.step_metrics import Monitor, StepBlock, StepMetrics

_LOSS, _NORM = "loss/total", "grad_norm/total"
_CLIP = "clip/threshold"
_CLIP_WINDOW = 100


@record
class MonitorMemory:
    """Monitor state that must survive a resume, because the guardian acts on it: spikes and large gradient norms.

    `steering` is the state of interventions, as JSON. `over` is whether each of the newest steps had a norm over the
    bound. `over_since` is the step of the last such alert, and `is_over` whether it is still open. The gate uses the
    `parts` of the network. `rules` is the memory of the configuration's alert rules.
    """

    last: int
    steering: str
    loss: RuleMemory
    grad_norm: RuleMemory
    quiet: int
    settling: int
    over: tuple[bool, ...]
    over_since: int | None
    is_over: bool
    parts: Mapping[str, PartMemory] = field(default_factory=lambda: MappingProxyType({}))
    rules: RulesMemory = field(default_factory=RulesMemory)


class MonitorSuite:
    """Detects spikes and alerts, and counts clipped steps: tens of microseconds per step on the host.

    It does not change the training; the guardian reacts to its events. Other alerts restart after a resume. `rules` are
    those of the configuration, to be asked once all events of a step are recorded.
    """

    def __init__(self, config: RunConfig, spec: TaskSpec):
        guard, max_grad_norm = config.guard, config.gate.max_grad_norm
        self._rules = {name: MedianRule() for name in (_LOSS, _NORM)}
        self._spikes = SpikeDetector(self._rules, Tolerance(score=guard.spike_score))
        self._modules = ModuleMonitor(spec, guard.dead_steps, max_grad_norm)
        self._over, *others = share_monitors(spec, max_grad_norm)
        self._monitors: list[Monitor] = [
            self._over,
            *others,
            self._modules,
        ]
        if guard.plateau_steps:
            self._monitors.append(PlateauMonitor(guard.plateau_steps))
        self._clipped = RollingRate(_CLIP_WINDOW)
        self.rules = AlertRules(config.alerts)
        self._last = 0
        self._steering: tuple[object, ...] = ()
        self._recalled = ""

    @property
    def clip_rate(self) -> float:
        """Fraction (0..1) of the newest 100 steps with a clipped gradient."""
        return self._clipped.share

    def observe(
        self, number: int, metrics: Mapping[str, float], state: RunState, *, seconds: float
    ) -> tuple[Event, ...]:
        """Return the events of step `number` (from 1), from the `metrics` of its row and its `seconds`.

        A number not after the last one is a rollback. A rollback or an intervention visible in `state` resets the
        statistics, with a wider tolerance.
        """
        observed = StepMetrics(number, metrics, state, seconds)
        self._notice(number, _steering(state))
        norm = metrics.get(_NORM, 0.0)
        self._clipped.add(held=norm > metrics.get(_CLIP, state.gradient_clip) * (1 + 1e-6))
        events: list[Event] = [alert for monitor in self._monitors for alert in monitor.observe(observed)]
        if spike := self._spikes.observe(metrics):
            metric, reading = spike
            events.insert(0, SpikeDetected(metric, number, reading.value, reading.centre, reading.score))
        return tuple(events)

    def observe_block(self, block: StepBlock) -> Mapping[int, Sequence[Event]]:
        """Return the events of several steps as `observe` would, by their rows in `block`."""
        self._notice(block.numbers[0], _steering(block.state))
        self._last = block.numbers[-1]
        self._note_clipping(block)
        found: dict[int, list[Event]] = {}
        series = {name: block.column(name).tolist() for name in self._rules}
        for row, metric, reading in self._spikes.observe_block(series):
            spike = SpikeDetected(metric, block.numbers[row], reading.value, reading.centre, reading.score)
            found.setdefault(row, []).append(spike)
        for row, alert in [one for monitor in self._monitors for one in monitor.observe_block(block)]:
            found.setdefault(row, []).append(alert)
        return found

    def _note_clipping(self, block: StepBlock) -> None:
        threshold = block.column(_CLIP) if _CLIP in block.index else block.state.gradient_clip
        held = block.column(_NORM) > threshold * (1 + 1e-6)
        if not held.any():
            self._clipped.add_without(len(block))
            return
        for is_clipped in held.tolist():
            self._clipped.add(held=is_clipped)

    def ill(self, state: RunState, num_steps: int) -> frozenset[str] | None:
        """Return the modules with an open alert or no gradient in the newest `num_steps` steps.

        Return `None` before the first step.
        """
        return self._modules.ill(state, num_steps) if self._last else None

    def _notice(self, number: int, steering: tuple[object, ...]) -> None:
        """Reset the monitors after an intervention since the last step or before the resume."""
        changed = bool(self._steering) and steering != self._steering
        changed |= bool(self._recalled) and self._recalled != to_text(steering)
        if changed or number <= self._last:
            self._disturb()
        self._steering, self._recalled, self._last = steering, "", number

    def memory(self) -> MonitorMemory:
        """Return the memory for a checkpoint."""
        return MonitorMemory(
            last=self._last,
            steering=to_text(self._steering) if self._steering else "",
            loss=self._rules[_LOSS].memory(),
            grad_norm=self._rules[_NORM].memory(),
            quiet=self._spikes.quiet,
            settling=self._spikes.settling,
            over=self._over.window.newest,
            over_since=self._over.latch.rose_at,
            is_over=self._over.latch.is_up,
            parts=self._modules.memory(),
            rules=self.rules.memory(),
        )

    def recall(self, memory: MonitorMemory) -> None:
        """Restore the result of `memory` in another process."""
        self._last, self._recalled = memory.last, memory.steering
        self._rules[_LOSS].recall(memory.loss)
        self._rules[_NORM].recall(memory.grad_norm)
        self._spikes.quiet, self._spikes.settling = memory.quiet, memory.settling
        self._over.window.clear()
        for held in memory.over:
            self._over.window.add(held=held)
        self._over.latch.rose_at, self._over.latch.is_up = memory.over_since, memory.is_over
        self._modules.recall(memory.parts)
        self.rules.recall(memory.rules)

    def _disturb(self) -> None:
        self._spikes.reset()
        for monitor in self._monitors:
            monitor.reset()


def _steering(state: RunState) -> tuple[object, ...]:
    """Return all decided values that influence the loss or the gradient."""
    return (
        state.refinements,
        state.loss_weights,
        state.lr_scale,
        state.lr_pin,
        state.batch_size,
        state.accumulation,
        state.optimizer,
        state.gradient_clip,
        state.excluded_samples,
    )
