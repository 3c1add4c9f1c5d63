"""What histories must say, computed the slow and plain way; and rows to say it of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cockpit.session.history.queries import Buckets
from engine.journal.series import RowBlock, Rows

Points = Mapping[int, float]
"""The values of one metric by step."""


def rows_of(metrics: Mapping[str, Points]) -> Rows:
    """The rows that hold these metrics; those with the same metrics share a layout."""
    steps = sorted({step for points in metrics.values() for step in points})
    layouts: dict[tuple[str, ...], list[int]] = {}
    for row, step in enumerate(steps):
        layouts.setdefault(tuple(name for name, points in metrics.items() if step in points), []).append(row)
    parts = [
        RowBlock(
            hash(names),
            names,
            np.array(at),
            np.array([[metrics[name][steps[row]] for name in names] for row in at], "f4"),
        )
        for names, at in sorted(layouts.items())
    ]
    return Rows(np.array(steps, np.int64), tuple(parts))


def brute_buckets(points: Points, first: float, last: float, columns: int) -> Buckets:
    """One column at a time, one value at a time."""
    width = (last - first) / columns
    held: list[list[float]] = [[] for _ in range(columns)]
    for step, value in points.items():
        column = math.floor((step - first) / width + 1e-9)
        if 0 <= column < columns:
            held[column].append(float(np.float32(value)))
    finite = [[value for value in column if math.isfinite(value)] for column in held]
    return Buckets(
        low_C=np.array([min(column, default=math.nan) for column in finite]),
        high_C=np.array([max(column, default=math.nan) for column in finite]),
        mean_C=np.array([math.fsum(column) / len(column) if column else math.nan for column in finite]),
        nan_C=np.array([any(math.isnan(value) for value in column) for column in held]),
        inf_C=np.array([any(math.isinf(value) for value in column) for column in held]),
        low_positive_C=np.array([min((v for v in column if v > 0), default=math.nan) for column in finite]),
    )


def assert_same(found: Buckets, expected: Buckets) -> None:
    """Extrema and flags are exact, means within rounding."""
    for name in ("low_C", "high_C", "nan_C", "inf_C", "low_positive_C"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    reach = float(np.nanmax(np.abs(np.concatenate([[0.0], expected.low_C, expected.high_C]))))
    np.testing.assert_allclose(found.mean_C, expected.mean_C, rtol=1e-9, atol=1e-12 * reach)


def wild(count: int, seed: int) -> NDArray[np.float32]:
    """Numbers of all sizes and signs, with NaN and both infinities among them."""
    rng = np.random.default_rng(seed)
    values = (rng.standard_normal(count) * 10.0 ** rng.integers(-12, 12, count)).astype(np.float32)
    values[rng.random(count) < 0.02] = np.nan
    values[rng.random(count) < 0.01] = np.inf
    values[rng.random(count) < 0.01] = -np.inf
    return values


def points_at(steps: Sequence[int], values: NDArray[np.float32]) -> dict[int, float]:
    """The values by step."""
    return dict(zip(steps, values.tolist(), strict=True))
