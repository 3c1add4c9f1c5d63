"""What recording costs the engine thread, and how long a long history takes to read: best of several tries."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from engine.journal.mailbox import Mailbox
from engine.journal.reader import JournalReader
from engine.journal.writer import JournalWriter
from engine.protocol.state import RunState
from tests.recorded import writing


def best_seconds(work: Callable[[], object], *, tries: int) -> float:
    """The shortest of `tries` timings."""
    best = float("inf")
    for _ in range(tries):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best


def test_a_step_is_recorded_in_microseconds(writer: JournalWriter) -> None:
    names = tuple(f"loss/term-{index}" for index in range(60))
    values = [float(index) for index in range(60)]
    state = RunState("r")

    def steps() -> None:
        for step in range(200):
            writer.record_step(step, 0.1, names, values)
            writer.record_state(state)

    assert best_seconds(steps, tries=20) / 200 < 20e-6


def test_asking_for_commands_costs_microseconds(run_dir: Path, writer: JournalWriter) -> None:
    with closing(Mailbox(run_dir)) as mailbox:
        mailbox.poll()
        assert best_seconds(lambda: [mailbox.poll() for _ in range(200)], tries=20) / 200 < 50e-6


def test_a_long_history_is_read_at_once(run_dir: Path) -> None:
    names = tuple(f"metric-{index}" for index in range(20))
    with writing(run_dir) as writer:
        for step in range(100_000):
            writer.record_step(step, step / 1000, names, [float(step)] * 20)
    with closing(JournalReader(run_dir)) as reader:
        assert reader.series(names).steps.size == 100_000
        assert best_seconds(lambda: reader.series(names), tries=3) < 0.7
        assert best_seconds(reader.newest_ids, tries=20) < 1e-3
