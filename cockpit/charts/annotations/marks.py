"""Events of a run as marks on its curves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cockpit.charts.columns import ColumnWindow
from cockpit.charts.draw.glyphs import ChartSigns
from cockpit.charts.inks import Ink
from cockpit.text.event_text import sentence
from engine.journal.reader import Entry
from engine.protocol import events as e


class Kind(IntEnum):
    """The kind of a mark; if two share a column, the greater one is drawn."""

    CHECKPOINT = 0
    NOTE = 1
    INTERVENTION = 2
    PHASE = 3
    ROLLBACK = 4
    ALERT = 5


@dataclass(frozen=True, slots=True)
class Mark:
    """An event at a step, in one sentence with escaped control characters."""

    step: int
    kind: Kind
    text: str


_KINDS: Final[dict[type[Any], Kind]] = {
    **dict.fromkeys(e.LASTING_EVENTS, Kind.INTERVENTION),
    e.PhasePromoted: Kind.PHASE,
    e.PhaseDemoted: Kind.PHASE,
    e.CheckpointSaved: Kind.CHECKPOINT,
    e.NoteAdded: Kind.NOTE,
    e.RolledBack: Kind.ROLLBACK,
    e.AlertRaised: Kind.ALERT,
    e.SpikeDetected: Kind.ALERT,
    e.StepSkipped: Kind.ALERT,
    e.FaultNamed: Kind.ALERT,
    e.CheckpointFailed: Kind.ALERT,
    e.RunFailed: Kind.ALERT,
}
_INKS: Final = {
    Kind.CHECKPOINT: Ink.CHECKPOINT,
    Kind.NOTE: Ink.NOTE,
    Kind.INTERVENTION: Ink.INTERVENTION,
    Kind.PHASE: Ink.PHASE,
    Kind.ROLLBACK: Ink.PHASE,
    Kind.ALERT: Ink.ALERT,
}


def ink_of_kind(kind: Kind) -> Ink:
    """Return the colour of a mark."""
    return _INKS[kind]


def head(kind: Kind, signs: ChartSigns) -> str:
    """Return the character at the top of a mark's line."""
    heads = (signs.checkpoint, signs.note, signs.intervention, signs.phase, signs.rollback, signs.alert)
    return heads[kind]


def line(kind: Kind, signs: ChartSigns) -> str:
    """Return the character of a mark's line: strong for phases and rollbacks, sparse for checkpoints and notes."""
    if kind in (Kind.PHASE, Kind.ROLLBACK):
        return signs.lines[0]
    return signs.lines[2 if kind in (Kind.CHECKPOINT, Kind.NOTE) else 1]


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
        places = np.floor((self.steps_M - window.first) * width / window.span + 1e-9).astype(np.int64)
        inside = (places >= 0) & (places < width)
        np.maximum.at(kinds_X, places[inside], self.kinds_M[inside])
        return kinds_X


NO_MARKS: Final = Marks.of(())


def marks_of(entries: Iterable[Entry]) -> tuple[Mark, ...]:
    """Return the marks of the entries, in the order given. An event about a step is placed at that step."""
    return tuple(
        Mark(getattr(entry.event, "at_step", 0) or entry.step, kind, sentence(entry.event))
        for entry in entries
        if (kind := _KINDS.get(type(entry.event))) is not None
    )
