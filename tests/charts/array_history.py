"""A history of metrics in arrays, for charts to be drawn from without a journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ArrayColumns:
    """C columns of a metric."""

    low_C: NDArray[np.float64]
    high_C: NDArray[np.float64]
    mean_C: NDArray[np.float64]
    nan_C: NDArray[np.bool_]
    inf_C: NDArray[np.bool_]
    low_positive_C: NDArray[np.float64]


@dataclass
class ArrayHistory:
    """Metrics by name as (steps ascending from 1, values); `num_reads` counts what was asked for."""

    metrics: dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]] = field(default_factory=dict)
    version: int = 1
    loading: float = 1.0
    num_reads: int = 0

    @classmethod
    def dense(cls, values: Mapping[str, NDArray[np.float64]], first: int = 1) -> ArrayHistory:
        """Metrics recorded at every step from `first` on."""
        return cls({name: (np.arange(first, first + len(row)), np.asarray(row, float)) for name, row in values.items()})

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.metrics)

    @property
    def first_step(self) -> int:
        return min((int(steps[0]) for steps, _ in self.metrics.values() if len(steps)), default=0)

    @property
    def last_step(self) -> int:
        return max((int(steps[-1]) for steps, _ in self.metrics.values() if len(steps)), default=0)

    def append(self, step: int, values: Mapping[str, float]) -> None:
        """One more row."""
        for name, value in values.items():
            steps, row = self.metrics.get(name, (np.empty(0, np.int64), np.empty(0)))
            self.metrics[name] = (np.append(steps, step), np.append(row, value))
        self.version += 1

    def buckets_of(
        self,
        names: Sequence[str],
        *,
        first: float,
        last: float,
        columns: int,
        edges: NDArray[np.float64] | None = None,
    ) -> dict[str, ArrayColumns]:
        """The same of several metrics."""
        return {name: self.buckets(name, first=first, last=last, columns=columns, edges=edges) for name in names}

    def buckets(
        self, name: str, *, first: float, last: float, columns: int, edges: NDArray[np.float64] | None = None
    ) -> ArrayColumns:
        self.num_reads += 1
        steps, values = self.metrics[name]
        column = np.floor((steps - first) * columns / (last - first) + 1e-9).astype(np.int64)
        if edges is not None:
            column = np.searchsorted(edges - 1e-6, steps, "right") - 1
        inside = (column >= 0) & (column < columns)
        column, values = column[inside], values[inside]
        finite, positive = np.isfinite(values), np.isfinite(values) & (values > 0)
        low, high, least = np.full(columns, np.inf), np.full(columns, -np.inf), np.full(columns, np.inf)
        np.minimum.at(low, column[finite], values[finite])
        np.maximum.at(high, column[finite], values[finite])
        np.minimum.at(least, column[positive], values[positive])
        count = np.bincount(column[finite], minlength=columns)
        total = np.zeros(columns)
        scale = max(float(np.abs(values[finite]).max(initial=0)), 1e-300)
        np.add.at(total, column[finite], values[finite] / scale)
        mean = np.full(columns, np.nan)
        np.divide(total * scale, count, out=mean, where=count > 0)
        nan, inf = np.zeros(columns, np.bool_), np.zeros(columns, np.bool_)
        nan[column[np.isnan(values)]] = True
        inf[column[np.isinf(values)]] = True
        return ArrayColumns(*(np.where(np.isfinite(part), part, np.nan) for part in (low, high)), mean, nan, inf,
                            np.where(np.isfinite(least), least, np.nan))  # fmt: skip

    def rows(self, name: str, first: int, last: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        steps, values = self.metrics[name]
        start, end = np.searchsorted(steps, [first, last + 1])
        return steps[start:end], values[start:end]

    def at(self, name: str, step: int) -> float | None:
        steps, values = self.metrics[name]
        place = int(np.searchsorted(steps, step, side="right")) - 1
        return None if place < 0 else float(values[place])

    def newest(self, name: str) -> float | None:
        steps, values = self.metrics[name]
        return float(values[-1]) if len(steps) else None
