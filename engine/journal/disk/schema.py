"""The tables of a journal, and the check of its format."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from engine.errors import UserError

FORMAT: Final = 1
"""Stored in the file's user_version. Other formats are rejected."""
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_MEND: Final = "move it out of the run's directory, and --resume continues from the checkpoints"
_SCHEMA: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY, started REAL NOT NULL, ended REAL, heartbeat REAL NOT NULL,
    pid INTEGER NOT NULL, host TEXT NOT NULL, commands_before INTEGER NOT NULL
);
CREATE TABLE branches (id INTEGER PRIMARY KEY, from_step INTEGER NOT NULL, time REAL NOT NULL);
CREATE TABLE layouts (id INTEGER PRIMARY KEY, names TEXT NOT NULL UNIQUE);
CREATE TABLE steps (
    branch INTEGER NOT NULL, step INTEGER NOT NULL, epoch REAL NOT NULL, time REAL NOT NULL,
    layout INTEGER NOT NULL, vals BLOB NOT NULL, PRIMARY KEY (branch, step)
) WITHOUT ROWID;
CREATE TABLE validations (
    branch INTEGER NOT NULL, step INTEGER NOT NULL, epoch REAL NOT NULL, time REAL NOT NULL,
    layout INTEGER NOT NULL, vals BLOB NOT NULL, PRIMARY KEY (branch, step)
) WITHOUT ROWID;
CREATE TABLE events (
    id INTEGER PRIMARY KEY, time REAL NOT NULL, branch INTEGER NOT NULL, step INTEGER NOT NULL,
    actor TEXT NOT NULL, command_id INTEGER, status TEXT NOT NULL, reason TEXT NOT NULL,
    kind TEXT NOT NULL, body TEXT NOT NULL
);
CREATE INDEX events_by_command ON events (command_id) WHERE command_id IS NOT NULL;
CREATE TABLE commands (
    id INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL,
    actor TEXT NOT NULL CHECK (typeof(actor) = 'text'), body TEXT NOT NULL CHECK (typeof(body) = 'text')
);
CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), time REAL NOT NULL, body TEXT NOT NULL);
INSERT INTO branches VALUES (0, 0, 0);
"""
_LAYERS_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS layers (
    branch INTEGER NOT NULL, step INTEGER NOT NULL, epoch REAL NOT NULL, time REAL NOT NULL,
    layout INTEGER NOT NULL, vals BLOB NOT NULL, PRIMARY KEY (branch, step)
)
"""
LAYERS: Final = "layers"
"""A table like those of `POINT_TABLES`, for numbers of single layers; a journal written before lacks it.

It has a rowid, as its rows are longer than a page. NaN in it is a number that was not measured.
"""
POINT_TABLES: Final = ("steps", "validations")
"""Tables of packed float32 vectors, one row per (branch, step); `layouts` names their columns."""


def mend_of(error: Exception) -> str:
    """Return the end of a sentence on how to go on with a damaged or read-only journal; else an empty string."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_READONLY:
        return "; its owner can make it and its directory writable with chmod"
    return f"; {_MEND}" if code in _DAMAGED else ""


def check_format(connection: sqlite3.Connection, file: Path, *, create: bool) -> None:
    """Raise UserError unless `file` is a journal of this format. With `create`, an empty one becomes it."""
    found = _format_of(connection)
    if found == 0 and create and not _has_tables(connection):
        connection.execute("PRAGMA journal_mode = WAL")
        script = f"BEGIN IMMEDIATE; {_SCHEMA} {_LAYERS_SCHEMA}; PRAGMA user_version = {FORMAT}; COMMIT;"
        connection.executescript(script)
        return
    if found == 0:
        raise UserError(f"{file} is not a journal of a run; {_MEND}")
    if found != FORMAT:
        reads = f"this program reads format {FORMAT}: use the version that wrote it"
        raise UserError(f"{file} is a journal of format {found}, and {reads}")
    if create and not has_layers(connection):
        connection.execute(_LAYERS_SCHEMA)


def has_layers(connection: sqlite3.Connection) -> bool:
    """Return whether the journal has the table `LAYERS`."""
    query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    return connection.execute(query, (LAYERS,)).fetchone() is not None


def _format_of(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _has_tables(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
