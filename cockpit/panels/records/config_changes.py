"""Changes of config keys since the start of the run: each with its first and its present value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cockpit.text.format import number, rate
from engine.journal.reader import Entry
from engine.protocol import events as e

_ON, _OFF = "on", "off"


@dataclass(frozen=True, slots=True)
class Change:
    """A key's first and present value, and the step and actor of its newest change."""

    key: str
    was: str
    now: str
    step: int
    actor: str


class Changes:
    """Collects changes from events; a key that is back at its first value is unchanged."""

    def __init__(self) -> None:
        self._by_key: dict[str, Change] = {}

    def add(self, entry: Entry) -> None:
        """Apply one event of the journal."""
        for key, before, after in _effects(entry.event):
            first = self._by_key[key].was if key in self._by_key else before
            self._by_key[key] = Change(key, first, after, entry.step, entry.actor)

    def all(self) -> list[Change]:
        """Return the changes, the newest first."""
        return sorted(
            (change for change in self._by_key.values() if change.was != change.now), key=lambda one: -one.step
        )


def _effects(event: e.Event) -> Iterator[tuple[str, str, str]]:
    """Yield the keys that an event changed: name, value before, value after."""
    match event:
        case e.LrScaled(before=before, after=after) | e.LrSet(before=before, after=after):
            yield "training.learning_rate", rate(before), rate(after)
        case e.LossWeightSet(term=term, before=before, after=after):
            yield f"loss.weights.{term}", number(before), number(after)
        case e.GradientClipSet(before=before, after=after):
            yield "training.gradient_clip", number(before), number(after)
        case e.AccumulationSet(before=before, after=after):
            yield "training.accumulation", str(before), str(after)
        case e.BatchSizeSet(before=before, after=after):
            yield "training.batch_size", str(before), str(after)
        case e.OptimizerSet(before=before, after=after):
            yield "training.optimizer", before, after
        case e.GuardianSet(before=before, after=after):
            yield "guardian", _word(before), _word(after)
        case e.AutopilotSet(before=before, after=after):
            yield "autopilot", _word(before), _word(after)
        case e.SamplesExcluded(before=before, after=after):
            yield "excluded samples", str(before), str(after)
        case _:
            yield from _switches(event)


def _switches(event: e.Event) -> Iterator[tuple[str, str, str]]:
    match event:
        case e.RefinementEnabled(name=name):
            yield f"model.refinements.{name}", _OFF, _ON
        case e.RefinementDisabled(name=name):
            yield f"model.refinements.{name}", _ON, _OFF
        case e.PhasePromoted(enabled=names):
            yield from ((f"model.refinements.{name}", _OFF, _ON) for name in names)
        case e.PhaseDemoted(disabled=names):
            yield from ((f"model.refinements.{name}", _ON, _OFF) for name in names)
        case _:
            pass


def _word(on: bool) -> str:
    return _ON if on else _OFF
