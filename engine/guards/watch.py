"""The watch over a run: every step passes it once, and it says what a person or the guardian should know."""

from __future__ import annotations

from collections.abc import Mapping

from engine.config import Config
from engine.guards.modules import ModuleMonitor
from engine.guards.plateau import PlateauMonitor
from engine.guards.seen import Monitor, Seen
from engine.guards.shares import ShareWindow, share_monitors
from engine.guards.spikes import MedianRule, SpikeDetector, Tolerance
from engine.protocol.events import Event, SpikeDetected
from engine.protocol.state import RunState

_WATCHED = ("loss/total", "grad_norm/total")
_CLIP_WINDOW = 100


class Watch:
    """Spikes, alerts and the share of clipped steps; what it knows is of this process and not in a checkpoint.

    It changes nothing about training. Some tens of microseconds a step, all on the host.
    """

    def __init__(self, config: Config):
        guard, max_grad_norm = config.guard, config.gate.max_grad_norm
        self._spikes = SpikeDetector({name: MedianRule() for name in _WATCHED}, Tolerance(score=guard.spike_score))
        self._monitors: list[Monitor] = [
            *share_monitors(max_grad_norm),
            ModuleMonitor(guard.dead_steps, max_grad_norm),
        ]
        if guard.plateau_steps:
            self._monitors.append(PlateauMonitor(guard.plateau_steps))
        self._clipped = ShareWindow(_CLIP_WINDOW)
        self._last = 0
        self._steering: tuple[object, ...] = ()

    @property
    def clip_rate(self) -> float:
        """The share (0..1) of the newest 100 steps whose gradient was clipped."""
        return self._clipped.share

    def observe(
        self, number: int, metrics: Mapping[str, float], state: RunState, *, seconds: float
    ) -> tuple[Event, ...]:
        """What step `number` (from 1) gives rise to; `metrics` are those of its row, `seconds` how long it took.

        A number that is not after the last one is a rollback. That and whatever `state` shows of steering since the
        last step start the statistics anew, with a wider tolerance.
        """
        seen = Seen(number, metrics, state, seconds)
        steering = _steering(state)
        if self._steering and (steering != self._steering or number <= self._last):
            self._disturb()
        self._steering, self._last = steering, number
        norm = metrics.get("grad_norm/total", 0.0)
        self._clipped.add(held=norm > metrics.get("clip/threshold", state.gradient_clip) * (1 + 1e-6))
        events: list[Event] = [alert for monitor in self._monitors for alert in monitor.look(seen)]
        if spike := self._spikes.observe(metrics):
            metric, reading = spike
            events.insert(0, SpikeDetected(metric, number, reading.value, reading.centre, reading.score))
        return tuple(events)

    def _disturb(self) -> None:
        self._spikes.disturb()
        for monitor in self._monitors:
            monitor.disturb()


def _steering(state: RunState) -> tuple[object, ...]:
    """What somebody may have changed since the last step: all that moves the loss or the gradient."""
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
