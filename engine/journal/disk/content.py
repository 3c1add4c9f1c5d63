"""Check whether a journal has content worth keeping."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from engine.journal.disk.schema import POINT_TABLES
from engine.journal.store import journal_file


def took_a_step(path: Path) -> bool:
    """Return whether the journal at `path` has metrics of a step or a validation.

    Missing, empty and incomplete journals have none. An unreadable one may have some, so it counts as True.
    """
    file = journal_file(path)
    try:
        if not file.exists() or file.stat().st_size == 0:
            return False
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            points = (connection.execute(f"SELECT 1 FROM {name} LIMIT 1") for name in POINT_TABLES)
            return bool(tables) and any(rows.fetchone() for rows in points)
    except (OSError, sqlite3.Error):
        return True
