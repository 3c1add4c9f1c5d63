"""Monitor the network's parts for gradients that disappear, explode or vanish relative to their history."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from engine.protocol.events import AlertRaised
from engine.protocol.state import RunState
from engine.protocol.task_spec import TaskSpec
from engine.supervision.alerts.module_part import FAST, HISTORY, NOTHING, SLOW, Part, PartMemory
from engine.supervision.step_metrics import AlertOfRow, StepBlock, StepMetrics, observe_each

_GROWTH = math.log(10)
_LOSS = math.log(1000)


class ModuleMonitor:
    """Detects dead, exploding and vanishing modules.

    Dead: no gradient for `dead_steps` steps. Exploding: ten times its own history, in gradient or weights. Vanishing: a
    thousandth of its history. A gradient below half of `max_grad_norm`, the bound on the whole, does not count as
    exploding. A network with a conservative start grows by as much. Parts with a disabled refinement or a zero loss
    weight are ignored.
    """

    def __init__(self, spec: TaskSpec, dead_steps: int, max_grad_norm: float):
        self._spec = spec
        # A component without any gradient has no norm.
        self._with_weights = frozenset(component.name for component in spec.components if component.has_parameters)
        self._dead_steps = dead_steps
        self._least_explosion = math.log(max_grad_norm / 2)
        self._parts: dict[str, Part] = {}

    def observe(self, observed: StepMetrics) -> tuple[AlertRaised, ...]:
        """Return alerts; see `Monitor.observe`."""
        if not observed.is_finite:
            return ()
        alerts: list[AlertRaised] = []
        for metric, norm in observed.metrics.items():
            if metric.startswith("grad_norm/") and metric != "grad_norm/total":
                alerts += self._look_at(metric.removeprefix("grad_norm/"), norm, observed)
        for name in observed.state.refinements & self._with_weights:
            if f"grad_norm/{name}" not in observed.metrics:
                alerts += self._look_at(name, 0.0, observed)
        return tuple(alerts)

    def observe_block(self, block: StepBlock) -> list[AlertOfRow]:
        """Return alerts; see `Monitor.observe_block`."""
        quiet: dict[str, Part] = {}
        for metric in block.index:
            if metric.startswith("grad_norm/") and metric != "grad_norm/total":
                name = metric.removeprefix("grad_norm/")
                after = None if self._spec.term_of(name) else self._after_quiet(name, block)
                if after is None:
                    return observe_each(self, block)
                quiet[name] = after
        if block.state.refinements & self._with_weights - quiet.keys():
            return observe_each(self, block)
        self._parts |= quiet
        return []

    def _after_quiet(self, name: str, block: StepBlock) -> Part | None:
        """Return the part after the steps of `block`, or `None` if one of them may raise or clear an alert."""
        part = self._parts.get(name) or Part()
        norms, weights = block.column(f"grad_norm/{name}").tolist(), block.column(f"weight_norm/{name}").tolist()
        first = part.weight_at_first or weights[0]
        if not min(norms) > NOTHING or max(weights) > 10 * first or any(latch.is_up for latch in part.latches):
            return None
        after = replace(part, idle=0, weight_at_first=first)
        fast, slow, count = part.fast, part.slow, part.count
        for level in map(math.log, norms):
            count += 1
            fast += (FAST if count * FAST >= 1 else 1 / count) * (level - fast)
            slow += (SLOW if count * SLOW >= 1 else 1 / count) * (level - slow)
            if count >= HISTORY and not -_LOSS <= fast - slow <= _GROWTH:
                return None
        after.fast, after.slow, after.count = fast, slow, count
        return after

    def ill(self, state: RunState, num_steps: int) -> frozenset[str]:
        """Return each part with an open alert, or without gradient in the newest `num_steps`, with its problem."""
        return frozenset(
            f"{name} {kind}"
            for name, part in self._parts.items()
            if name not in self._spec.component_names or name in state.refinements
            for kind in part.ails(max(num_steps, 1))
        )

    def memory(self) -> Mapping[str, PartMemory]:
        """Return the memory for a checkpoint."""
        return MappingProxyType({name: part.memory() for name, part in self._parts.items()})

    def recall(self, memory: Mapping[str, PartMemory]) -> None:
        """Restore the result of `memory`."""
        self._parts = {name: Part.of(kept) for name, kept in memory.items()}

    def _look_at(self, name: str, norm: float, observed: StepMetrics) -> list[AlertRaised]:
        part = self._parts.setdefault(name, Part())
        term = self._spec.term_of(name)
        if term and not observed.state.loss_weights.get(term, 1.0):
            part.forget()
            return []
        part.take(norm)
        return [
            AlertRaised(f"{kind} module", message, remedy, term, name, at_step=observed.number)
            for kind, message, remedy in self._troubles(name, part, norm, observed)
        ]

    def _troubles(self, name: str, part: Part, norm: float, observed: StepMetrics) -> list[tuple[str, str, str]]:
        found: list[tuple[str, str, str]] = []
        gap = part.fast - part.slow if part.count >= HISTORY else 0.0
        if part.dead.rises(observed.number, on=part.idle >= self._dead_steps, off=part.idle == 0):
            found.append(("dead", f"no gradient has reached {name} for {part.idle} steps", _revive(self._spec, name)))
        explodes = gap > _GROWTH and part.fast > self._least_explosion
        if part.exploding.rises(observed.number, on=explodes, off=gap < _GROWTH / 2):
            found.append(("exploding", _beside(name, norm, part), _calm(self._spec, name)))
        if part.vanishing.rises(observed.number, on=gap < -_LOSS, off=gap > -_LOSS / 2):
            found.append(("vanishing", _beside(name, norm, part), _revive(self._spec, name)))
        return found + self._swelling(name, part, observed)

    def _swelling(self, name: str, part: Part, observed: StepMetrics) -> list[tuple[str, str, str]]:
        weight = observed.metrics.get(f"weight_norm/{name}", 0.0)
        part.weight_at_first = part.weight_at_first or weight
        growth = weight / part.weight_at_first if part.weight_at_first else 1.0
        if not part.swelling.rises(observed.number, on=growth > 10, off=growth < 5):
            return []
        before = part.weight_at_first
        message = f"the weights of {name} have the norm {weight:.3g}, {growth:.1f} times that of {before:.3g} before"
        return [("exploding", message, _calm(self._spec, name))]

    def reset(self) -> None:
        """Forget the history; see `Monitor.reset`."""
        for part in self._parts.values():
            part.forget()


def _beside(name: str, norm: float, part: Part) -> str:
    return (
        f"the gradient norm of {name} is {norm:.3g}, about {math.exp(part.fast):.2g} over 10 steps "
        f"against {math.exp(part.slow):.2g} before"
    )


def _revive(spec: TaskSpec, name: str) -> str:
    """Return the remedy for a dead module.

    Only a module with its own loss has a weight to raise, and only a refinement can be disabled.
    """
    if term := spec.term_of(name):
        return f"raise the loss weight of {term}, or disable {name} and enable it again"
    if name in spec.component_names:
        return f"disable {name} and enable it again, or roll back to a checkpoint from before"
    return (
        "roll back to a checkpoint from before, and lower the learning rate; a dead module does not recover by itself"
    )


def _calm(spec: TaskSpec, name: str) -> str:
    off = f", or disable {name} until the rest trains stably" if name in spec.component_names else ""
    return f"reduce the learning rate, clip the gradient at less{off}"
