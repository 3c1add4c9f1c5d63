"""Numbers of single layers: where rows of the journal hold them, windows of measurements, and curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from engine.journal.series import RowBlock, Rows
from engine.journal.task_meta import (
    ACT_ZEROS,
    GRAD_NORM,
    GRAD_ZEROS,
    PARAMETER_MEASURES,
    UPDATE_RATIO,
    WEIGHT_NORM,
    LayersMeta,
    layer_metric,
    layer_of,
)
from engine.protocol.record import record

Floats = NDArray[np.float64]


@record
class LayerWindow:
    """The newest W measurements, oldest first, of P parameters with their `sizes`, and of M modules.

    `numbers` has an array (W, P) for each measure of parameters, and (W, M) for that of modules. NaN was not measured.
    `every_steps` is the interval in steps, 0 if it is unknown.
    """

    steps: NDArray[np.int64]
    parameters: tuple[str, ...]
    modules: tuple[str, ...]
    sizes: NDArray[np.int64]
    numbers: Mapping[str, Floats]
    every_steps: int


@record
class LayerLayout:
    """Columns of a row of the metrics `names`: those of each measure of all `parameters`, and those of `modules`.

    An absent one is -1.
    """

    names: tuple[str, ...]
    parameters: tuple[str, ...]
    modules: tuple[str, ...]
    columns: Mapping[str, NDArray[np.intp]]

    @classmethod
    def of(cls, names: Sequence[str]) -> LayerLayout:
        """Return the layout of the metrics `names`."""
        place = {name: column for column, name in enumerate(names)}
        found: dict[str, dict[str, None]] = {}
        for name in names:
            layer, measure = layer_of(name)
            found.setdefault(ACT_ZEROS if measure == ACT_ZEROS else WEIGHT_NORM, {})[layer] = None
        parameters, modules = tuple(found.get(WEIGHT_NORM, ())), tuple(found.get(ACT_ZEROS, ()))
        return cls(tuple(names), parameters, modules, _columns(place, parameters, modules))

    def fill(self, numbers: Mapping[str, Floats], part: RowBlock, start: int) -> None:
        """Write the numbers of a block of rows, which may have other metrics, into the arrays from row `start` on."""
        columns = self.columns if part.names == self.names else self._columns_in(part.names)
        for measure, at in columns.items():
            numbers[measure][start + part.at] = _taken(part.values_NK, at)

    def _columns_in(self, names: Sequence[str]) -> Mapping[str, NDArray[np.intp]]:
        return _columns({name: column for column, name in enumerate(names)}, self.parameters, self.modules)


def _columns(
    place: Mapping[str, int], parameters: Sequence[str], modules: Sequence[str]
) -> dict[str, NDArray[np.intp]]:
    wanted = {measure: parameters for measure in PARAMETER_MEASURES} | {ACT_ZEROS: modules}
    return {
        measure: np.array([place.get(layer_metric(layer, measure), -1) for layer in layers], np.intp)
        for measure, layers in wanted.items()
    }


def window_of(found: Sequence[Rows], described: LayersMeta | None) -> LayerWindow | None:
    """Return the window of these rows, oldest first, with the layers of the newest one; `None` if it has none."""
    names = next((part.names for rows in found[-1:] for part in rows.parts if rows.size - 1 in part.at), None)
    if names is None:
        return None
    layout = LayerLayout.of(names)
    starts = list(accumulate((rows.size for rows in found), initial=0))
    numbers = {measure: np.full((starts[-1], len(at)), np.nan) for measure, at in layout.columns.items()}
    for start, part in ((start, part) for start, rows in zip(starts, found, strict=False) for part in rows.parts):
        layout.fill(numbers, part, start)
    sizes = described.sizes if described else {}
    return LayerWindow(
        np.concatenate([rows.steps for rows in found]),
        layout.parameters,
        layout.modules,
        np.array([sizes.get(name, 1) for name in layout.parameters], np.int64),
        numbers,
        described.every_steps if described else 0,
    )


def curve_of(metric: str, layout: LayerLayout, values_NK: NDArray[np.float32], sizes: Mapping[str, int]) -> Floats:
    """Return one metric of N rows: of a parameter or module, or of the parameters below a module together."""
    layer, measure = layer_of(metric)
    if measure == ACT_ZEROS:
        at = [number for number, name in enumerate(layout.modules) if name == layer]
        return _taken(values_NK, layout.columns[ACT_ZEROS][at]).sum(axis=1) if at else _nothing(values_NK)
    at = [number for number, name in enumerate(layout.parameters) if _is_in(layer, name)]
    if not at or measure not in PARAMETER_MEASURES:
        return _nothing(values_NK)
    numbers = {name: _taken(values_NK, layout.columns[name][at]) for name in PARAMETER_MEASURES}
    sizes_P = np.array([sizes.get(layout.parameters[number], 1) for number in at], np.int64)
    return totals(numbers, sizes_P, [(0, len(at))])[measure][:, 0]


def totals(
    numbers: Mapping[str, Floats], sizes: NDArray[np.int64], bounds: Sequence[tuple[int, int]]
) -> dict[str, Floats]:
    """Return the numbers of N groups of parameters as arrays (W, N).

    Each group holds the columns from the first to before the second of its `bounds`. Norms are those of all values
    together, shares are weighted by size. A parameter that was not measured is left out.
    """
    weights = numbers[WEIGHT_NORM]
    moved = numbers[UPDATE_RATIO] * weights
    grad = np.sqrt(_sums(numbers[GRAD_NORM] ** 2, bounds))
    has_grad, has_moved = ~np.isnan(numbers[GRAD_NORM]), ~np.isnan(moved)
    with np.errstate(all="ignore"):
        zeros = _sums(numbers[GRAD_ZEROS] * sizes, bounds) / _sums(np.where(has_grad, sizes, np.nan), bounds)
        ratio = np.sqrt(_sums(moved**2, bounds)) / np.sqrt(_sums(np.where(has_moved, weights, np.nan) ** 2, bounds))
    norms = np.sqrt(_sums(weights**2, bounds))
    return {GRAD_NORM: grad, GRAD_ZEROS: zeros, WEIGHT_NORM: norms, UPDATE_RATIO: ratio}


def _sums(values: Floats, bounds: Sequence[tuple[int, int]]) -> Floats:
    """Return the sums over the groups without NaN; NaN for a group of nothing else."""
    if not bounds:
        return np.zeros((len(values), 0))
    edges = np.array(bounds, np.intp).ravel()
    padded = np.concatenate([values, np.full((len(values), 1), np.nan)], axis=1)
    there = ~np.isnan(padded)
    summed = np.add.reduceat(np.where(there, padded, 0.0), edges, axis=1)[:, ::2]
    counted = np.add.reduceat(there, edges, axis=1, dtype=np.int64)[:, ::2]
    return np.where(counted > 0, summed, np.nan)


def _is_in(module: str, parameter: str) -> bool:
    """Return whether `parameter` is of that name or below that module; the empty name is the whole network."""
    return parameter == module or parameter.startswith(f"{module}.") or not module


def _taken(values_NK: NDArray[np.float32], columns: NDArray[np.intp]) -> Floats:
    """Return some columns as float64; NaN for an absent one."""
    taken = values_NK[:, columns].astype(np.float64)
    taken[:, columns < 0] = np.nan
    return taken


def _nothing(values_NK: NDArray[np.float32]) -> Floats:
    return np.full(len(values_NK), np.nan)
