"""Knobs of a callback, which are named before its run begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.adapters.run.attached_run import AttachedRun
from engine.adapters.run.knobs import KnobHandle, KnobValue, Value


class LateKnobs:
    """The knobs of one callback, in the order in which they were made."""

    def __init__(self) -> None:
        self._run: AttachedRun | None = None
        self._made: list[tuple[KnobHandle[Any], float | None, float | None, tuple[str, ...]]] = []

    def make(
        self, name: str, value: Value, low: float | None, high: float | None, choices: Sequence[str]
    ) -> KnobHandle[Value]:
        """Return a live value. Raises UserError for bounds that exclude it."""
        handle = KnobHandle(name, value, self._run)
        handle.declare(low, high, tuple(choices))
        self._made.append((handle, low, high, tuple(choices)))
        return handle

    def adopt(self, values: Mapping[str, KnobValue]) -> None:
        """Adopt the values of rank 0 in another process, which has no run of its own."""
        for handle, *_ in self._made:
            if handle.name in values:
                handle.value = values[handle.name]

    def declare_in(self, run: AttachedRun) -> None:
        """Declare all knobs in `run`, which has begun."""
        self._run = run
        for handle, low, high, choices in self._made:
            handle.run = run
            handle.declare(low, high, choices)
