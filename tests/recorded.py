"""Journals for tests: a writer that is always closed, and programs that run in a process of their own."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from engine.journal.store import journal_file
from engine.journal.writer import JournalWriter

ROOT = Path(__file__).resolve().parent.parent


@contextmanager
def writing(path: Path) -> Iterator[JournalWriter]:
    """A started writer on the run directory `path`."""
    writer = JournalWriter(path)
    writer.start()
    try:
        yield writer
    finally:
        writer.close()


def damage_table(path: Path, table: str) -> None:
    """Overwrite the first page of a table in the journal of a run that no process writes."""
    file = journal_file(path)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with file.open("r+b") as damaged:
        damaged.seek((page - 1) * size)
        damaged.write(b"\xff" * size)


def start_program(source: str, *arguments: object) -> subprocess.Popen[str]:
    """Run Python source in a new process whose working directory is the repository."""
    command = [sys.executable, "-c", source, *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def first_line(program: subprocess.Popen[str]) -> str:
    """Wait for the first line that the program prints, or fail with what it said instead."""
    assert program.stdout is not None
    line = program.stdout.readline().strip()
    assert line, program.communicate()[1]
    return line
