"""The drawable part of curves, each as columns of equal width: values in axis units, and gaps that are bridged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cockpit.charts.columns.source import Columns, Flags, Floats
from engine.protocol.record import record

_BRIDGED_GAPS: Final = 4
"""A gap up to this many times the usual distance of two points is bridged; beyond it the metric was off."""


@record
class Band:
    """The drawable part of K curves in C columns in axis units (log10 on a log axis); NaN for nothing.

    `rug_C` marks columns with a value of 0 or less on a log axis. `nan_C` and `inf_C` mark columns with NaN and
    infinity, and `broken_KC` says in which curve.
    """

    low_KC: Floats
    high_KC: Floats
    mean_KC: Floats
    broken_KC: Flags
    rug_C: Flags
    nan_C: Flags
    inf_C: Flags


def band(curves: Sequence[Columns], count: int, *, log: bool) -> Band:
    """Return the curves, each of `count` columns, in axis units; on a log axis only the values above 0."""
    nan_KC = _stacked([columns.nan_C for columns in curves], count, np.bool_)
    inf_KC = _stacked([columns.inf_C for columns in curves], count, np.bool_)
    low_KC = _stacked([columns.low_C for columns in curves], count, np.float64)
    high_KC = _stacked([columns.high_C for columns in curves], count, np.float64)
    mean_KC = _stacked([columns.mean_C for columns in curves], count, np.float64)
    rug_C = np.zeros(count, np.bool_)
    if log:
        rug_C = _any(low_KC <= 0)
        low_KC = _log10(_stacked([columns.low_positive_C for columns in curves], count, np.float64))
        high_KC, mean_KC = _log10(high_KC), _log10(mean_KC)
    return Band(low_KC, high_KC, mean_KC, nan_KC | inf_KC, rug_C, _any(nan_KC), _any(inf_KC))


def _stacked(rows: Sequence[NDArray[Any]], count: int, kind: type[Any]) -> NDArray[Any]:
    """Stack rows into one array of `count` columns, also if there are no rows."""
    return np.array(rows, kind).reshape(len(rows), count)


def _any(flags_KC: Flags) -> Flags:
    return np.logical_or.reduce(flags_KC)


def _log10(values: Floats) -> Floats:
    return np.log10(np.where(values > 0, values, np.nan))


def bridged(middle_KC: Floats, broken_KC: Flags) -> Floats:
    """Fill the empty columns between two neighbouring points of K curves with a straight line.

    Gaps stay empty if they hold a non-finite value, or if they are so wide that the metric was off.
    """
    known_KC = ~np.isnan(middle_KC)
    count_K = known_KC.sum(axis=1)
    width = middle_KC.shape[1]
    span_K = width - known_KC[:, ::-1].argmax(axis=1) - known_KC.argmax(axis=1) if width else count_K
    gappy = np.flatnonzero((count_K > 1) & (count_K < span_K)).tolist()
    if not gappy:
        return middle_KC
    result_KC = middle_KC.copy()
    for number in gappy:
        result_KC[number] = _bridged_row(middle_KC[number], known_KC[number], broken_KC[number])
    return result_KC


def _bridged_row(middle_C: Floats, known_C: Flags, broken_C: Flags) -> Floats:
    drawn = np.flatnonzero(known_C)
    widths = drawn[1:] - drawn[:-1]
    breaks = np.cumsum(broken_C & ~known_C)[drawn]
    joined = (widths <= _BRIDGED_GAPS * max(float(np.sort(widths)[widths.size // 2]), 1.0)) & (
        breaks[1:] == breaks[:-1]
    )
    inside = np.zeros(middle_C.shape, np.int64)
    inside[drawn[:-1][joined]] += 1
    inside[drawn[1:][joined]] -= 1
    everywhere = np.interp(np.arange(middle_C.size), drawn, middle_C[drawn])
    return np.where((np.cumsum(inside) > 0) & ~known_C, everywhere, middle_C)
