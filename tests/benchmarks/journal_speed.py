"""What the journal costs, against plain Python doing the least it could: `python -m tests.benchmarks.journal_speed`.

Recording a step of 60 metrics is compared with appending the same list to a list, an empty poll with one `SELECT 1`,
and reading 100,000 steps of 20 metrics with one pass of SQLite over the same rows. Ratios of medians in one run.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from engine.journal.inbox import Inbox
from engine.journal.reader import JournalReader
from engine.journal.store import JOURNAL_FILE
from engine.journal.writer import JournalWriter


def seconds(work: Callable[[], object], *, tries: int) -> float:
    """The median of `tries` timings."""
    timings: list[float] = []
    for _ in range(tries):
        started = time.perf_counter()
        work()
        timings.append(time.perf_counter() - started)
    return statistics.median(timings)


def report(what: str, ours: float, plain: float, unit: str, scale: float) -> None:
    """One line: both times and their ratio."""
    print(f"{what}: {ours * scale:.2f} {unit}, plain {plain * scale:.2f} {unit}, ratio {ours / plain:.1f}")


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print all three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args(words)
    names = tuple(f"metric-{index}" for index in range(60))
    values = [float(index) for index in range(60)]
    plain: list[list[float]] = []
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        writer = JournalWriter(path)
        writer.start()
        ours = seconds(lambda: writer.record_step(0, 0.1, names, values), tries=2000)
        report("record a step", ours, seconds(lambda: plain.append(list(values)), tries=2000), "us", 1e6)
        with closing(sqlite3.connect(path / JOURNAL_FILE)) as connection, closing(Inbox(path)) as mailbox:
            least = seconds(lambda: connection.execute("SELECT 1").fetchone(), tries=2000)
            report("an empty poll", seconds(mailbox.poll, tries=2000), least, "us", 1e6)
            for step in range(1, 100_001):
                writer.record_step(step, step / 1000, names[:20], values[:20])
            writer.flush(60)
            pass_over = seconds(lambda: connection.execute("SELECT * FROM steps").fetchall(), tries=5)
        with closing(JournalReader(path)) as reader:
            whole = seconds(lambda: reader.series(names[:20]), tries=5)
        report("read 100,000 x 20", whole, pass_over, "s", 1.0)
        writer.close()


if __name__ == "__main__":
    main()
