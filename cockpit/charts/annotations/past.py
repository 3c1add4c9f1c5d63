"""Settings in force at each step that reference lines depend on: loss weights, components and clip."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from types import MappingProxyType
from typing import Any, Final

from cockpit.text import event_info
from cockpit.text.event_info import SettingChange
from cockpit.text.event_text import info_of
from engine.journal.reader import Entry
from engine.protocol import events as e
from engine.protocol.record import record
from engine.protocol.state import RunState
from engine.protocol.task_spec import NO_SPEC, TaskSpec

GRADIENT_BOUND: Final = 10.0
"""The bound on the gradient norm if a journal lacks the configured one; the configuration's default."""


@record
class InForce:
    """The settings in force from `step` on."""

    step: int
    components: frozenset[str] = frozenset()
    loss_weights: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    gradient_clip: float = 0.0
    spec: TaskSpec = NO_SPEC

    @classmethod
    def of(cls, state: RunState, step: int = 0) -> InForce:
        """Return the settings in `state`."""
        return cls(step, state.refinements, state.loss_weights, state.gradient_clip, state.spec)

    def total_chance(self, chance: Mapping[str, float]) -> float | None:
        """Return the total loss at chance; `None` while a weight or a chance level is unknown."""
        terms = self.spec.active_terms(self.components)
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
    changes = [
        entry for entry in entries if isinstance(entry.event, e.RunStarted | e.RolledBack) or _changes(entry.event)
    ]
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
            now = past[-1]
            for change in _changes(event):
                now = _set(now, change, change.after)
            return replace(now, step=entry.step)


def _at_first(changes: Sequence[Entry], now: InForce) -> InForce:
    """Return the settings before any change: changes are undone from the last to the first."""
    first = replace(now, step=0)
    for change in (change for entry in reversed(changes) for change in _changes(entry.event)):
        first = _set(first, change, change.before)
    return first


def _changes(event: e.Event) -> Sequence[SettingChange]:
    """Return the changes of what the charts compare curves with: components, loss weights and the clip."""
    made = info_of(event).changes
    if made is None:
        return ()
    return [change for change in made(event) if change.section in _SECTIONS or _is_clip(change)]


def _is_clip(change: SettingChange) -> bool:
    return (change.section, change.name) == ("training", "gradient_clip")


def _set(then: InForce, change: SettingChange, value: Any) -> InForce:
    """Return `then` with the changed setting at `value`."""
    name = change.name
    match change.section:
        case event_info.COMPONENTS:
            on = then.components | {name} if value else then.components - {name}
            return replace(then, components=on)
        case event_info.LOSS_WEIGHTS:
            return replace(then, loss_weights=MappingProxyType({**then.loss_weights, name: value}))
        case _:
            return replace(then, gradient_clip=value)


_SECTIONS: Final = (event_info.COMPONENTS, event_info.LOSS_WEIGHTS)
