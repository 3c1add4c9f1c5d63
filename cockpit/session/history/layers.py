"""Read the numbers of single layers: the newest measurements of all, and the whole curves of pinned ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import numpy as np

from cockpit.session.history.backfill import PendingRows
from cockpit.session.history.history import History
from cockpit.session.history.layer_numbers import LayerLayout, LayerWindow, curve_of, window_of
from engine.journal.series import RowBlock, Rows
from engine.journal.tail import JournalTail, Lineage, StepRange
from engine.journal.task_meta import (
    LAYERS_META,
    layers_of,
)

NEWEST: Final = 32
"""Measurements that the tab knows: the newest ones."""

_ROWS_PER_LOOK: Final = 400
"""Rows of pinned curves that one look reads: each holds the numbers of all layers."""


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
        self._layouts: dict[int, LayerLayout] = {}
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
        return Rows(rows.steps, tuple(block for part in rows.parts for block in self._pinned_in(part)))

    def _pinned_in(self, part: RowBlock) -> Iterator[RowBlock]:
        if part.layout not in self._layouts:
            self._layouts[part.layout] = LayerLayout.of(part.names)
        layout = self._layouts[part.layout]
        for number, metric in enumerate(self.pinned):
            curve = curve_of(metric, layout, part.values_NK, self._sizes)
            there = ~np.isnan(curve)
            if there.any():
                yield RowBlock(number, (metric,), part.at[there], curve[there, None].astype(np.float32))

    def _read_newest(self, tail: JournalTail, lineage: Lineage) -> LayerWindow | None:
        pending, found, left = PendingRows(tail, "layers", lineage), list[Rows](), NEWEST
        while left > 0 and (rows := pending.chunk(tail, left)) is not None:
            found.insert(0, rows)
            left -= rows.size
        return window_of(found, layers_of(tail.meta(LAYERS_META)))
