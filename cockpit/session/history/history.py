"""Metric histories as charts read them, safe to read while an old, long journal is still being read in."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from cockpit.session.history.queries import Buckets, HistoryQueries
from cockpit.session.history.table import Table
from engine.journal.series import Rows
from engine.journal.tail import PointTable
from engine.journal.task_meta import LAYER_PREFIX

__all__ = ["Buckets", "History"]


class History:
    """Every metric of a run along the lineage that counts. Absent is not NaN: a row without a metric has no value.

    `first_step` and `last_step` are those of training rows, (0, 0) without any. `version` grows with every change.
    `loading` is the share (0..1) of a long journal that was read, newest rows first.
    """

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self.version = 0
        self.first_step = 0
        self.last_step = 0
        self.loading = 1.0
        self._lock = Lock()
        self._tables: dict[PointTable, Table] = {"layers": Table()}
        self._lenses: dict[PointTable, HistoryQueries] = {"layers": HistoryQueries(self._tables["layers"])}
        self.clear()

    def clear(self, *, room_before: dict[PointTable, int] | None = None) -> None:
        """Forget everything but the curves of layers; so many older rows will be read in."""
        room = room_before or {}
        with self._lock:
            for kind in ("steps", "validations"):
                self._tables[kind] = Table(room_before=room.get(kind, 0))
                self._lenses[kind] = HistoryQueries(self._tables[kind])
            self._changed()

    def drop(self, kind: PointTable) -> None:
        """Forget every row of that kind."""
        with self._lock:
            self._tables[kind] = Table()
            self._lenses[kind] = HistoryQueries(self._tables[kind])
            self._changed()

    def append(self, kind: PointTable, rows: Rows) -> None:
        """New rows; those held from the first of their steps on give way."""
        with self._lock:
            self._tables[kind].append(rows)
            self._changed()

    def prepend(self, kind: PointTable, rows: Rows, *, loading: float) -> None:
        """Older rows than those held; `loading` of everything is here now."""
        with self._lock:
            self._tables[kind].prepend(rows)
            self.loading = loading
            self._changed()

    def cut(self, last: int) -> None:
        """Forget everything after step `last`."""
        with self._lock:
            for table in self._tables.values():
                table.cut(last)
            self._changed()

    def size(self, kind: PointTable) -> int:
        """Return the number of rows of that kind in memory."""
        return self._tables[kind].size

    def last(self, kind: PointTable) -> int | None:
        """Return the newest step of that kind."""
        steps = self._tables[kind].steps
        return int(steps[-1]) if steps.size else None

    def buckets(self, name: str, *, first: float, last: float, columns: int) -> Buckets:
        """Return a metric's steps from `first` (included) to `last` (excluded), summarised in `columns` columns."""
        return self.buckets_of((name,), first=first, last=last, columns=columns)[name]

    def buckets_of(
        self,
        names: Sequence[str],
        *,
        first: float,
        last: float,
        columns: int,
        edges: NDArray[np.float64] | None = None,
    ) -> dict[str, Buckets]:
        """Return the summaries of several metrics in one query, at little more than the cost of one.

        `edges` are the steps between the columns if these are not equally wide.
        """
        with self._lock:
            of_lens: dict[HistoryQueries, list[str]] = {}
            for name in names:
                of_lens.setdefault(self._lens(name), []).append(name)
            found: dict[str, Buckets] = {}
            for lens, some in of_lens.items():
                found |= lens.buckets(some, first=first, last=last, columns=columns, edges=edges)
            return found

    def rows(self, name: str, first: int, last: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the recorded steps of a metric from `first` to `last`, both included, and their values."""
        with self._lock:
            return self._lens(name).rows(name, first, last)

    def at(self, name: str, step: int) -> float | None:
        """Return the value at `step` or at the nearest recorded step before it; `None` if there is none."""
        with self._lock:
            return self._lens(name).at(name, step)

    def newest(self, name: str) -> float | None:
        """Return the last recorded value; `None` if there is none."""
        return self.at(name, 2**62)

    def non_finite(self, name: str) -> NDArray[np.int64]:
        """Return the steps with a NaN or infinite value."""
        with self._lock:
            return self._lens(name).non_finite(name)

    def _lens(self, name: str) -> HistoryQueries:
        """Return the queries of the table with the metric: of validations if training has none of that name."""
        if name.startswith(LAYER_PREFIX):
            return self._lenses["layers"]
        return self._lenses["validations" if self._tables["steps"].row_of(name) is None else "steps"]

    def _changed(self) -> None:
        self.names = tuple(dict.fromkeys(name for table in self._tables.values() for name in table.names))
        steps = self._tables["steps"].steps
        self.first_step, self.last_step = (int(steps[0]), int(steps[-1])) if steps.size else (0, 0)
        self.version += 1
