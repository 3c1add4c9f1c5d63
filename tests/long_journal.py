"""Journals of any length, made in seconds: what a writer would leave after days of training."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

import numpy as np

from engine.journal.store import JOURNAL_FILE
from engine.protocol.events import Activity
from engine.tasks.person.spec import LOSS_TERMS, refinements_of
from tests.person_state import person_state
from tests.recorded import writing

PARTS: Final = ("backbone", "roi_align", "decoder", "instance_head")
METRICS: Final = (
    "loss/total",
    *(f"loss_raw/{term}" for term in LOSS_TERMS),
    "grad_norm/total",
    *(f"grad_norm/{part}" for part in PARTS),
    "lr",
    "samples_per_second",
    "data_wait",
    "skipped",
    "clip/threshold",
    "system/cpu",
    "system/memory",
)
"""Twenty metrics as a run has them."""

NAN_STEPS: Final = 100
_ROWS_AT_ONCE: Final = 10_000


def write_long_journal(directory: Path, steps: int) -> Path:
    """A finished run of `steps` steps of `METRICS` in `directory`, a hundred NaNs among them. Returns the directory."""
    with writing(directory) as writer:
        writer.record_state(
            person_state(
                run=directory.name,
                activity=Activity.FINISHED,
                step=steps,
                total_steps=steps,
                phase=4,
                refinements=refinements_of(4),
            )
        )
        writer.set_meta("chance_levels", dict.fromkeys(LOSS_TERMS, 1.0))
    with closing(sqlite3.connect(directory / JOURNAL_FILE, isolation_level=None)) as connection:
        connection.execute("INSERT INTO layouts VALUES (1, ?)", (json.dumps(METRICS),))
        connection.execute("BEGIN")
        for first in range(1, steps + 1, _ROWS_AT_ONCE):
            _add(connection, first, min(_ROWS_AT_ONCE, steps + 1 - first), max(1, steps // NAN_STEPS))
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return directory


def _add(connection: sqlite3.Connection, first: int, count: int, nan_every: int) -> None:
    rng = np.random.default_rng(first)
    values = np.exp(0.3 * rng.standard_normal((count, len(METRICS)))).astype(np.float32)
    values[(first + np.arange(count)) % nan_every == 0, 0] = np.nan
    rows = ((0, first + row, (first + row) / 1000, 0.0, 1, values[row].tobytes()) for row in range(count))
    connection.executemany("INSERT INTO steps VALUES (?, ?, ?, ?, ?, ?)", rows)
