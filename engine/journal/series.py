"""Read metric histories: packed rows of a journal as numpy arrays, along the valid lineage of branches."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.journal.store import POINT_TABLES
from engine.journal.transaction import newest_branch

ROWS_PER_CHUNK = 20_000
"""Rows unpacked at a time, so that a long history needs memory only for the requested metrics."""


@dataclass(frozen=True, slots=True)
class Series:
    """S rows in the order of `steps`: one float32 array per name, NaN if absent; `present` distinguishes absent from
    NaN.
    """

    steps: NDArray[np.int64]
    epochs: NDArray[np.float64]
    values: Mapping[str, NDArray[np.float32]]
    present: Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class SeriesWindow:
    """Steps `first` to `last`, both included, `None` for no bound; the lineage ends in `branch` (`None`: newest)."""

    first: int | None = None
    last: int | None = None
    branch: int | None = None


@dataclass(frozen=True, slots=True)
class _Block:
    """S rows and K columns from one table, with a mask of recorded values."""

    steps: NDArray[np.int64]
    epochs: NDArray[np.float64]
    values_SK: NDArray[np.float32]
    present_SK: NDArray[np.bool_]


def lineage_of(connection: sqlite3.Connection, branch: int | None) -> tuple[tuple[int, int | None], ...]:
    """Return the branches that `branch` continues, oldest first and itself last, with the last valid step of each."""
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
    """Return the metrics `names` in `window`, with rows of both tables joined by step. Raises sqlite3.Error."""
    connection.execute("BEGIN")
    try:
        blocks = [block for table in POINT_TABLES for block in _blocks(connection, table, names, window)]
    finally:
        connection.execute("COMMIT")
    return _joined(names, blocks)


def _blocks(
    connection: sqlite3.Connection, table: str, names: tuple[str, ...], window: SeriesWindow
) -> Iterator[_Block]:
    """Yield the rows of one table with at least one of `names`, in chunks, steps ascending."""
    columns = _columns(connection, names)
    if not columns:
        return
    wanted = ",".join(str(layout) for layout in columns)
    query = (
        f"SELECT step, epoch, layout, vals FROM {table} WHERE branch = ? AND step BETWEEN ? AND ?"
        f" AND layout IN ({wanted}) ORDER BY step"
    )
    for branch, bound in lineage_of(connection, window.branch):
        last = min(limit for limit in (bound, window.last, 2**62) if limit is not None)
        first = -(2**62) if window.first is None else window.first
        cursor = connection.execute(query, (branch, first, last))
        while rows := cursor.fetchmany(ROWS_PER_CHUNK):
            yield _unpacked(rows, columns, len(names))


def _columns(connection: sqlite3.Connection, names: tuple[str, ...]) -> dict[int, _LayoutColumns]:
    """Return for each layout with any of `names` how to extract them from its rows."""
    rows = connection.execute("SELECT id, names FROM layouts")
    found: dict[int, _LayoutColumns] = {}
    for number, text in rows.fetchall():
        held = {name: column for column, name in enumerate(json.loads(text))}
        pairs = [(position, held[name]) for position, name in enumerate(names) if name in held]
        if pairs:
            found[number] = _LayoutColumns(len(held), [to for to, _ in pairs], [source for _, source in pairs])
    return found


@dataclass(frozen=True, slots=True)
class _LayoutColumns:
    """A layout with `width` columns; its column `source[i]` is the requested name number `target[i]`."""

    width: int
    target: list[int]
    source: list[int]


def _unpacked(rows: list[tuple[int, float, int, bytes]], columns: dict[int, _LayoutColumns], num_names: int) -> _Block:
    steps, epochs, layouts, packed = zip(*rows, strict=True)
    values_SK = np.full((len(rows), num_names), np.nan, np.float32)
    present_SK = np.zeros((len(rows), num_names), np.bool_)
    layout_S = np.asarray(layouts)
    for layout, pick in columns.items():
        (at,) = np.nonzero(layout_S == layout)
        if at.size == 0:
            continue
        blob = b"".join(packed) if at.size == len(rows) else b"".join(packed[i] for i in at)
        block_SK = np.frombuffer(blob, np.float32).reshape(at.size, pick.width)
        cells = np.ix_(at, np.asarray(pick.target))
        values_SK[cells] = block_SK[:, pick.source]
        present_SK[cells] = True
    return _Block(np.array(steps, np.int64), np.array(epochs, np.float64), values_SK, present_SK)


def _joined(names: tuple[str, ...], blocks: list[_Block]) -> Series:
    """Return the blocks of both tables on one axis of ascending steps."""
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
