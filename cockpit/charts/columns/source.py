"""A source of metrics, and a metric's history as columns of equal width, as many as the plot has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Columns(Protocol):
    """C columns of equal width, each a summary of the values at its steps."""

    @property
    def low_C(self) -> Floats:
        """Return the least finite value of each column, NaN for a column without one."""
        ...

    @property
    def high_C(self) -> Floats:
        """Return the greatest finite value of each column, NaN for a column without one."""
        ...

    @property
    def mean_C(self) -> Floats:
        """Return the mean of the finite values of each column, NaN for a column without one."""
        ...

    @property
    def nan_C(self) -> Flags:
        """Return which columns hold a NaN."""
        ...

    @property
    def inf_C(self) -> Flags:
        """Return which columns hold an infinity, of either sign."""
        ...

    @property
    def low_positive_C(self) -> Floats:
        """Return the least value above 0 of each column, for a logarithmic axis; NaN for a column without one."""
        ...


class Source(Protocol):
    """A source of metrics by step. Absent is not NaN: a step without a metric has no value."""

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of all metrics: of training steps, validations and layers."""
        ...

    @property
    def version(self) -> int:
        """Return a number that grows with every change: a drawing for a smaller one is out of date."""
        ...

    @property
    def first_step(self) -> int:
        """Return the oldest training step in memory, 0 without one; smaller as older rows are read."""
        ...

    @property
    def last_step(self) -> int:
        """Return the newest training step, 0 without one."""
        ...

    @property
    def loading(self) -> float:
        """Return the share (0..1) of a long journal that was read, newest rows first."""
        ...

    def buckets_of(
        self, names: Sequence[str], *, first: float, last: float, columns: int, edges: Floats | None = None
    ) -> Mapping[str, Columns]:
        """Return the columns of each metric over the steps from `first` (included) to `last` (excluded).

        `edges` are the steps between the columns; with `None` all are equally wide.
        """
        ...

    def rows(self, name: str, first: int, last: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Return the recorded steps of a metric from `first` to `last`, both included, and their values."""
        ...

    def at(self, name: str, step: int) -> float | None:
        """Return the value at `step` or at the nearest recorded step before it; `None` if there is none."""
        ...

    def newest(self, name: str) -> float | None:
        """Return the last recorded value; `None` if there is none."""
        ...
