"""Decode the packed rows of a journal to numpy arrays, and join them along the current lineage."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from engine.journal.disk.schema import LAYERS, POINT_TABLES, has_layers
from engine.journal.transaction import newest_branch
from engine.protocol.record import record

ROWS_PER_CHUNK = 20_000
"""Rows unpacked at a time, so that a long history needs memory only for the requested metrics."""


@record
class RowBlock:
    """The rows of one layout: row `at[i]` of S has `values_NK[i]`, one value per entry of the K `names`."""

    layout: int
    names: tuple[str, ...]
    at: NDArray[np.intp]
    values_NK: NDArray[np.float32]


@record
class Rows:
    """S rows, steps ascending, packed as they were recorded."""

    steps: NDArray[np.int64]
    parts: tuple[RowBlock, ...]

    @property
    def size(self) -> int:
        """Number of rows."""
        return int(self.steps.size)


def unpack_rows(found: Sequence[tuple[int, int, bytes]], names_of: Callable[[int], tuple[str, ...]]) -> Rows:
    """Decode rows of (step, layout, vector); `names_of` returns a layout's columns, empty for an unknown layout.

    Raises ValueError for a vector that does not have the length of its layout.
    """
    if not found:
        return Rows(np.zeros(0, np.int64), ())
    steps, layouts, vectors = zip(*found, strict=True)
    layout_S = np.array(layouts, np.int64)
    parts: list[RowBlock] = []
    for layout in dict.fromkeys(layouts):
        names = names_of(layout)
        if names:
            at = np.flatnonzero(layout_S == layout)
            packed = b"".join(vectors) if at.size == len(found) else b"".join(vectors[row] for row in at)
            parts.append(RowBlock(layout, names, at, np.frombuffer(packed, np.float32).reshape(at.size, len(names))))
    return Rows(np.array(steps, np.int64), tuple(parts))


@record
class Series:
    """S rows in the order of `steps`: one float32 array per name, NaN if absent.

    `present` distinguishes absent values from NaN.
    """

    steps: NDArray[np.int64]
    epochs: NDArray[np.float64]
    values: Mapping[str, NDArray[np.float32]]
    present: Mapping[str, NDArray[np.bool_]]


@record
class SeriesWindow:
    """Steps `first` to `last`, both included, `None` for no bound; the lineage ends in `branch` (`None`: newest)."""

    first: int | None = None
    last: int | None = None
    branch: int | None = None


@record
class _Block:
    """S rows and K columns from one table, with a mask of recorded values."""

    steps: NDArray[np.int64]
    epochs: NDArray[np.float64]
    values_SK: NDArray[np.float32]
    present_SK: NDArray[np.bool_]


def lineage_of(connection: sqlite3.Connection, branch: int | None) -> tuple[tuple[int, int | None], ...]:
    """Return the branches that `branch` continues, oldest first, itself last, each with the last step that counts."""
    rows = connection.execute(
        "SELECT id, from_step FROM branches WHERE id <= ? ORDER BY id DESC",
        (newest_branch(connection) if branch is None else branch,),
    ).fetchall()
    bounds: list[tuple[int, int | None]] = []
    bound: int | None = None
    for number, from_step in rows:
        bounds.append((number, bound))
        bound = from_step if bound is None else min(bound, from_step)
    return tuple(reversed(bounds))


def read_series(connection: sqlite3.Connection, names: tuple[str, ...], window: SeriesWindow) -> Series:
    """Return the metrics `names` in `window`, rows of both tables joined by step.

    Raises sqlite3.Error, and ValueError for a row that cannot be decoded.
    """
    connection.execute("BEGIN")
    try:
        tables = (*POINT_TABLES, LAYERS) if has_layers(connection) else POINT_TABLES
        blocks = [block for table in tables for block in _blocks(connection, table, names, window)]
    finally:
        connection.execute("COMMIT")
    return _joined(names, blocks)


def _blocks(
    connection: sqlite3.Connection, table: str, names: tuple[str, ...], window: SeriesWindow
) -> Iterator[_Block]:
    """Yield the rows of one table that hold at least one of `names`, a chunk at a time, steps ascending."""
    layouts = _layouts_with(connection, frozenset(names))
    if not layouts:
        return
    wanted = ",".join(map(str, layouts))
    query = (
        f"SELECT step, layout, vals, epoch FROM {table} WHERE branch = ? AND step BETWEEN ? AND ?"
        f" AND layout IN ({wanted}) ORDER BY step"
    )
    for branch, bound in lineage_of(connection, window.branch):
        last = min(limit for limit in (bound, window.last, 2**62) if limit is not None)
        first = -(2**62) if window.first is None else window.first
        cursor = connection.execute(query, (branch, first, last))
        while found := cursor.fetchmany(ROWS_PER_CHUNK):
            rows = unpack_rows([row[:3] for row in found], layouts.__getitem__)
            block = _picked(rows, np.array([row[3] for row in found], np.float64), names)
            yield block if table != LAYERS else replace(block, present_SK=~np.isnan(block.values_SK))


def _layouts_with(connection: sqlite3.Connection, names: frozenset[str]) -> dict[int, tuple[str, ...]]:
    """Return the layouts that hold any of `names`, each with all of its columns."""
    rows = connection.execute("SELECT id, names FROM layouts").fetchall()
    layouts = {number: tuple(map(str, json.loads(text))) for number, text in rows}
    return {number: columns for number, columns in layouts.items() if not names.isdisjoint(columns)}


def _picked(rows: Rows, epochs: NDArray[np.float64], names: tuple[str, ...]) -> _Block:
    """Return the columns `names` of decoded rows."""
    values_SK = np.full((rows.size, len(names)), np.nan, np.float32)
    present_SK = np.zeros((rows.size, len(names)), np.bool_)
    for part in rows.parts:
        held = {name: column for column, name in enumerate(part.names)}
        pairs = [(target, held[name]) for target, name in enumerate(names) if name in held]
        cells = np.ix_(part.at, np.array([target for target, _ in pairs]))
        values_SK[cells] = part.values_NK[:, [column for _, column in pairs]]
        present_SK[cells] = True
    return _Block(rows.steps, epochs, values_SK, present_SK)


def _joined(names: tuple[str, ...], blocks: list[_Block]) -> Series:
    """Join blocks of both tables on one axis of ascending steps."""
    all_steps = np.concatenate([np.zeros(0, np.int64), *(block.steps for block in blocks)])
    steps = np.unique(all_steps)
    epochs = np.zeros(steps.size, np.float64)
    values_SK = np.full((steps.size, len(names)), np.nan, np.float32)
    present_SK = np.zeros((steps.size, len(names)), np.bool_)
    for block in blocks:
        at = np.searchsorted(steps, block.steps)
        epochs[at] = block.epochs
        values_SK[at] = np.where(block.present_SK, block.values_SK, values_SK[at])
        present_SK[at] |= block.present_SK
    return Series(
        steps,
        epochs,
        {name: values_SK[:, column] for column, name in enumerate(names)},
        {name: present_SK[:, column] for column, name in enumerate(names)},
    )
