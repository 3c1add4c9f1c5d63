"""Events of a run as marks on its curves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cockpit.charts.columns.window import ColumnWindow
from cockpit.charts.draw.glyphs import ChartSigns
from cockpit.charts.inks import Ink
from cockpit.text.event_info import MarkKind
from cockpit.text.event_text import info_of, sentence
from engine.journal.reader import Entry
from engine.protocol.record import record
from engine.protocol.task_spec import TaskSpec


@record
class Mark:
    """An event at a step, in one sentence with escaped control characters."""

    step: int
    kind: MarkKind
    text: str


_INKS: Final = {
    MarkKind.CHECKPOINT: Ink.CHECKPOINT,
    MarkKind.NOTE: Ink.NOTE,
    MarkKind.INTERVENTION: Ink.INTERVENTION,
    MarkKind.PHASE: Ink.PHASE,
    MarkKind.ROLLBACK: Ink.PHASE,
    MarkKind.ALERT: Ink.ALERT,
}


def ink_of_kind(kind: MarkKind) -> Ink:
    """Return the colour of a mark."""
    return _INKS[kind]


def head(kind: MarkKind, signs: ChartSigns) -> str:
    """Return the character at the top of a mark's line."""
    heads = (signs.checkpoint, signs.note, signs.intervention, signs.phase, signs.rollback, signs.alert)
    return heads[kind]


def line(kind: MarkKind, signs: ChartSigns) -> str:
    """Return the character of a mark's line: strong for phases and rollbacks, sparse for checkpoints and notes."""
    if kind in (MarkKind.PHASE, MarkKind.ROLLBACK):
        return signs.lines[0]
    return signs.lines[2 if kind in (MarkKind.CHECKPOINT, MarkKind.NOTE) else 1]


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """M marks, as objects and as arrays of their steps and kinds."""

    marks: tuple[Mark, ...]
    steps_M: NDArray[np.int64]
    kinds_M: NDArray[np.int64]

    @classmethod
    def of(cls, marks: Iterable[Mark]) -> Marks:
        """Create the marks with their arrays."""
        kept = tuple(marks)
        steps, kinds = [mark.step for mark in kept], [int(mark.kind) for mark in kept]
        return cls(kept, np.array(steps, np.int64), np.array(kinds, np.int64))

    def nearest(self, step: float, window: ColumnWindow) -> Mark | None:
        """Return the mark in the window that is closest to `step`, the greatest kind of equals, or `None`."""
        inside = np.flatnonzero((self.steps_M >= window.first) & (self.steps_M < window.end))
        if inside.size == 0:
            return None
        distance = np.abs(self.steps_M[inside] - step)
        order = np.lexsort((-inside, -self.kinds_M[inside], distance))
        return self.marks[int(inside[order[0]])]

    def per_cell(self, window: ColumnWindow, width: int) -> NDArray[np.int64]:
        """Return the greatest kind in each of `width` cells; -1 for none."""
        kinds_X = np.full(width, -1, np.int64)
        places = window.columns_of(self.steps_M, width)
        inside = (places >= 0) & (places < width)
        np.maximum.at(kinds_X, places[inside], self.kinds_M[inside])
        return kinds_X


NO_MARKS: Final = Marks.of(())


def marks_of(entries: Iterable[Entry], spec: TaskSpec) -> tuple[Mark, ...]:
    """Return the marks of `entries`, in their order; an event that names a step is marked at that step."""
    return tuple(
        Mark(getattr(entry.event, "at_step", 0) or entry.step, kind, sentence(entry.event, spec))
        for entry in entries
        if (kind := info_of(entry.event).mark) is not None
    )
