"""Numbers of single layers from the journal: the newest measurements of all, and the whole curves of pinned ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cockpit.session.history.backfill import PendingRows
from cockpit.session.history.history import History
from engine.journal.series import RowBlock, Rows
from engine.journal.tail import JournalTail, Lineage, StepRange
from engine.journal.task_meta import (
    ACT_ZEROS,
    GRAD_NORM,
    GRAD_ZEROS,
    LAYERS_META,
    PARAMETER_MEASURES,
    UPDATE_RATIO,
    WEIGHT_NORM,
    layer_metric,
    layer_of,
    layers_of,
)
from engine.protocol.record import record

NEWEST: Final = 32
"""Measurements that the tab knows: the newest ones."""

_ROWS_PER_LOOK: Final = 400
"""Rows of pinned curves that one look reads: each holds the numbers of all layers."""

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
class _Layout:
    """Columns of a row: those of each measure of all `parameters`, and those of `modules`. An absent one is -1."""

    parameters: tuple[str, ...]
    modules: tuple[str, ...]
    columns: Mapping[str, NDArray[np.intp]]

    @classmethod
    def of(cls, names: Sequence[str]) -> _Layout:
        """Return the layout of the metrics `names`."""
        place = {name: column for column, name in enumerate(names)}
        found: dict[str, dict[str, None]] = {}
        for name in names:
            layer, measure = layer_of(name)
            found.setdefault(ACT_ZEROS if measure == ACT_ZEROS else WEIGHT_NORM, {})[layer] = None
        parameters, modules = tuple(found.get(WEIGHT_NORM, ())), tuple(found.get(ACT_ZEROS, ()))
        return cls(parameters, modules, _columns(place, parameters, modules))

    def placed_in(self, names: Sequence[str]) -> Mapping[str, NDArray[np.intp]]:
        """Return where the columns of this layout are in a row of other `names`."""
        return _columns({name: column for column, name in enumerate(names)}, self.parameters, self.modules)


def _columns(
    place: Mapping[str, int], parameters: Sequence[str], modules: Sequence[str]
) -> dict[str, NDArray[np.intp]]:
    wanted = {measure: parameters for measure in PARAMETER_MEASURES} | {ACT_ZEROS: modules}
    return {
        measure: np.array([place.get(layer_metric(layer, measure), -1) for layer in layers], np.intp)
        for measure, layers in wanted.items()
    }


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


class LayerFeed:
    """Reads the rows of layers of one journal, by a connection of its own that is opened when one is wanted.

    `pinned` are the metrics of which the whole curve is kept in `history`, in the order of pinning.
    """

    def __init__(self, history: History, open_tail: Callable[[], JournalTail]) -> None:
        self.pinned: tuple[str, ...] = ()
        self._history = history
        self._open_tail = open_tail
        self._tail: JournalTail | None = None
        self._seen: tuple[object, ...] = ()
        self._window: LayerWindow | None = None
        self._layouts: dict[int, _Layout] = {}
        self._lineage: Lineage = ()
        self._version = -1
        self._sizes: Mapping[str, int] = {}

    def reopen(self) -> None:
        """Forget what was read: another file is the journal."""
        self.close()
        self._seen, self._window, self._layouts = (), None, {}
        self._begin(())

    def close(self) -> None:
        """Close the journal."""
        if self._tail is not None:
            self._tail.close()
            self._tail = None

    def pin(self, metric: str) -> bool:
        """Keep the curve of a layer's metric, or drop it if it is kept. Return whether it is kept now."""
        is_kept = metric not in self.pinned
        self.pinned = (*self.pinned, metric) if is_kept else tuple(name for name in self.pinned if name != metric)
        self._begin(())
        return is_kept

    def newest(self) -> LayerWindow | None:
        """Return the newest measurements, `None` without any. Raises UserError if the journal cannot be read."""
        tail = self._opened()
        with tail.snapshot():
            if not tail.has_layers():
                return None
            seen = (tail.mark("layers"), tail.lineage())
            if seen != self._seen:
                self._window = self._read_newest(tail, seen[1])
                self._seen = seen
        return self._window

    def look(self) -> None:
        """Read new rows of the pinned curves, a bounded number. Raises UserError if the journal cannot be read."""
        if not self.pinned:
            return
        tail = self._opened()
        version = tail.version()
        if version == self._version:
            return
        with tail.snapshot():
            if not tail.has_layers():
                return
            lineage = tail.lineage()
            if lineage != self._lineage:
                self._begin(lineage)
                described = layers_of(tail.meta(LAYERS_META))
                self._sizes = described.sizes if described else {}
            self._version = -1 if self._append_new(tail) else version

    def _opened(self) -> JournalTail:
        if self._tail is None:
            self._tail = self._open_tail()
        return self._tail

    def _begin(self, lineage: Lineage) -> None:
        """Read the pinned curves from their beginning."""
        self._history.drop("layers")
        self._lineage, self._version = lineage, -1

    def _append_new(self, tail: JournalTail) -> bool:
        """Append rows after those in memory. Return whether more may follow."""
        left = _ROWS_PER_LOOK
        for branch, last in self._lineage:
            held = self._history.last("layers")
            first = -(2**62) if held is None else held + 1
            end = 2**62 if last is None else last
            if left and first <= end:
                rows = tail.rows(StepRange("layers", branch, first, end), limit=left)
                self._history.append("layers", self._picked(rows))
                left -= rows.size
        return left == 0

    def _picked(self, rows: Rows) -> Rows:
        """Return only the pinned metrics of `rows`, without the numbers that were not measured."""
        parts: list[RowBlock] = []
        for part in rows.parts:
            if part.layout not in self._layouts:
                self._layouts[part.layout] = _Layout.of(part.names)
            layout = self._layouts[part.layout]
            for number, metric in enumerate(self.pinned):
                curve = self._curve(metric, layout, part.values_NK)
                there = ~np.isnan(curve)
                if there.any():
                    parts.append(RowBlock(number, (metric,), part.at[there], curve[there, None].astype(np.float32)))
        return Rows(rows.steps, tuple(parts))

    def _curve(self, metric: str, layout: _Layout, values_NK: NDArray[np.float32]) -> Floats:
        """Return one metric of N rows: of a parameter or module, or of the parameters below a module together."""
        layer, measure = layer_of(metric)
        if measure == ACT_ZEROS:
            at = [number for number, name in enumerate(layout.modules) if name == layer]
            return _taken(values_NK, layout.columns[ACT_ZEROS][at]).sum(axis=1) if at else _nothing(values_NK)
        at = [number for number, name in enumerate(layout.parameters) if _is_in(layer, name)]
        if not at or measure not in PARAMETER_MEASURES:
            return _nothing(values_NK)
        numbers = {name: _taken(values_NK, layout.columns[name][at]) for name in PARAMETER_MEASURES}
        sizes = np.array([self._sizes.get(layout.parameters[number], 1) for number in at], np.int64)
        return totals(numbers, sizes, [(0, len(at))])[measure][:, 0]

    def _read_newest(self, tail: JournalTail, lineage: Lineage) -> LayerWindow | None:
        pending, found, left = PendingRows(tail, "layers", lineage), list[Rows](), NEWEST
        while left > 0 and (rows := pending.chunk(tail, left)) is not None:
            found.insert(0, rows)
            left -= rows.size
        newest = next((part.names for rows in found[-1:] for part in rows.parts if rows.size - 1 in part.at), None)
        if newest is None:
            return None
        names = newest
        layout = _Layout.of(names)
        numbers = {measure: np.full((NEWEST - left, len(at)), np.nan) for measure, at in layout.columns.items()}
        start = 0
        for rows in found:
            for part in rows.parts:
                at = layout.columns if part.names == names else layout.placed_in(part.names)
                for measure, columns in at.items():
                    numbers[measure][start + part.at] = _taken(part.values_NK, columns)
            start += rows.size
        described = layers_of(tail.meta(LAYERS_META))
        sizes = described.sizes if described else {}
        return LayerWindow(
            np.concatenate([rows.steps for rows in found]),
            layout.parameters,
            layout.modules,
            np.array([sizes.get(name, 1) for name in layout.parameters], np.int64),
            numbers,
            described.every_steps if described else 0,
        )


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
