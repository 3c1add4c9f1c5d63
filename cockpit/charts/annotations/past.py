"""Settings in force at each step that reference lines depend on: loss weights, refinements and clip."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

from engine.journal.reader import Entry
from engine.protocol import events as e
from engine.protocol.state import RunState
from engine.protocol.task_spec import NO_SPEC, TaskSpec

GRADIENT_BOUND: Final = 10.0
"""The bound on the gradient norm if a journal lacks the configured one; the configuration's default."""


@dataclass(frozen=True, slots=True)
class InForce:
    """The settings in force from `step` on."""

    step: int
    refinements: frozenset[str] = frozenset()
    loss_weights: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    gradient_clip: float = 0.0
    spec: TaskSpec = NO_SPEC

    @classmethod
    def of(cls, state: RunState, step: int = 0) -> InForce:
        """Return the settings in `state`."""
        return cls(step, state.refinements, state.loss_weights, state.gradient_clip, state.spec)

    def total_chance(self, chance: Mapping[str, float]) -> float | None:
        """Return the total loss at chance; `None` while a weight or a chance level is unknown."""
        terms = self.spec.active_terms(self.refinements)
        if not terms or not all(term in chance and term in self.loss_weights for term in terms):
            return None
        return sum(chance[term] * self.loss_weights[term] for term in terms)


Past = Sequence[InForce]
"""Settings in force over the run, oldest first."""


def past_of(entries: Iterable[Entry], state: RunState | None) -> tuple[InForce, ...]:
    """Return the settings in force over the visible run: a rollback or a resume cuts off what came after its step.

    The first settings follow from the values before each change; settings without a change are the present ones.
    """
    if state is None:
        return ()
    changes = [entry for entry in entries if isinstance(entry.event, _TELLING)]
    past = [_at_first(changes, InForce.of(state))]
    for entry in changes:
        now = _after(entry, past)
        past = [then for then in past if then.step < now.step or then is past[0]]
        past.append(now)
    now = InForce.of(state, past[-1].step)
    return (*past[:-1], now) if len(past) > 1 else (now,)


def at_step(past: Past, step: float) -> InForce | None:
    """Return the settings in force at `step`; `None` if none are known."""
    return next((then for then in reversed(past) if then.step <= step), past[0] if past else None)


def _after(entry: Entry, past: list[InForce]) -> InForce:
    """Return the settings after an event. A resume restores its checkpoint's, a rollback keeps changes by hand."""
    match entry.event:
        case e.RunStarted():
            then = at_step(past, entry.step)
            assert then is not None
            return replace(then, step=entry.step)
        case e.RolledBack(after=step):
            return replace(past[-1], step=step)
        case event:
            return replace(_CHANGES[type(event)](past[-1], event), step=entry.step)


def _at_first(changes: Sequence[Entry], now: InForce) -> InForce:
    """Return the settings before any change: changes are undone from the last to the first."""
    first = replace(now, step=0)
    for entry in reversed(changes):
        undo = _UNDONE.get(type(entry.event))
        first = undo(first, entry.event) if undo is not None else first
    return first


def _with(then: InForce, names: Iterable[str]) -> InForce:
    return replace(then, refinements=then.refinements | set(names))


def _without(then: InForce, names: Iterable[str]) -> InForce:
    return replace(then, refinements=then.refinements - set(names))


def _weighed(then: InForce, term: str, weight: float) -> InForce:
    return replace(then, loss_weights=MappingProxyType({**then.loss_weights, term: weight}))


# Each function takes the event type that is its key; no common type expresses that: hence Any.
_Change = Callable[[InForce, Any], InForce]
_CHANGES: Final[Mapping[type[Any], _Change]] = {
    e.PhasePromoted: lambda then, event: _with(then, event.enabled),
    e.PhaseDemoted: lambda then, event: _without(then, event.disabled),
    e.RefinementEnabled: lambda then, event: _with(then, [event.name]),
    e.RefinementDisabled: lambda then, event: _without(then, [event.name]),
    e.LossWeightSet: lambda then, event: _weighed(then, event.term, event.after),
    e.GradientClipSet: lambda then, event: replace(then, gradient_clip=event.after),
}
_UNDONE: Final[Mapping[type[Any], _Change]] = {
    e.PhasePromoted: lambda then, event: _without(then, event.enabled),
    e.PhaseDemoted: lambda then, event: _with(then, event.disabled),
    e.RefinementEnabled: lambda then, event: then if event.before else _without(then, [event.name]),
    e.RefinementDisabled: lambda then, event: _with(then, [event.name]) if event.before else then,
    e.LossWeightSet: lambda then, event: _weighed(then, event.term, event.before),
    e.GradientClipSet: lambda then, event: replace(then, gradient_clip=event.before),
}
_TELLING: Final = (e.RunStarted, e.RolledBack, *_CHANGES)
