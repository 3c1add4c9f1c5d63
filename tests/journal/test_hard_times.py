"""A killed process and a full disk: written data remain, and the rest is written as soon as possible."""

from __future__ import annotations

import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from engine.journal.reader import JournalReader
from engine.journal.store import JOURNAL_FILE
from tests.recorded import first_line, start_program, writing

ENDLESS = """
import sys
from itertools import count
from pathlib import Path
from engine.journal.writer import JournalWriter
from engine.protocol import events as e
from tests.person_state import person_state
writer = JournalWriter(Path(sys.argv[1]))
writer.start()
names = tuple(f"m/{index}" for index in range(20))
for step in count(1):
    writer.record_step(step, step / 10, names, [float(step)] * 20)
    writer.record_state(person_state("r", step=step))
    writer.record_event(step, e.NoteAdded(str(step)))
    if step == 2000:
        writer.flush()
        print("going", flush=True)
"""

FULL_DISK = """
import resource, sys, time
from pathlib import Path
from engine.journal import writer as module
from engine.journal.writer import JournalWriter
from engine.protocol import events as e
module.RETRY_SECONDS = 0.05
writer = JournalWriter(Path(sys.argv[1]))
writer.start()
writer.record_step(1, 0.1, ("a",), (1.0,))
assert writer.flush()
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
step = 1
while writer.failure is None:
    step += 1
    writer.record_step(step, 0.1, tuple(f"m/{index}" for index in range(50)), [float(step)] * 50)
    time.sleep(0.0002)
assert not writer.flush()
writer.record_event(step, e.NoteAdded("the disk is full"))
print(writer.failure, step, flush=True)
sys.stdin.readline()
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
assert writer.flush(), writer.failure
assert writer.failure is None
assert writer.dropped == 0
writer.close()
print("written", flush=True)
"""


def test_a_killed_writer_leaves_a_whole_journal_that_goes_on(run_dir: Path) -> None:
    with start_program(ENDLESS, run_dir) as program:
        first_line(program)
        time.sleep(0.35)
        program.send_signal(signal.SIGKILL)
        program.wait()
    with closing(JournalReader(run_dir)) as reader:
        assert not reader.is_alive()
        session = reader.heartbeat()
        assert session is not None
        assert session.ended is None
        series = reader.series(["m/0", "m/19"])
        steps = series.steps.tolist()
        assert len(steps) >= 2000
        assert steps == list(range(1, len(steps) + 1))
        assert series.values["m/19"].tolist() == [float(step) for step in steps]
        events = reader.events()
        assert abs(len(events) - len(steps)) <= 1
        state = reader.state()
        assert state is not None
        assert state.step >= len(events)
    with writing(run_dir) as writer:
        writer.open_branch(1000)
        writer.record_step(1001, 100.1, ("m/0",), (7.0,))
    with closing(JournalReader(run_dir)) as reader:
        assert reader.series(["m/0"]).steps.tolist() == list(range(1, 1002))
    with closing(sqlite3.connect(run_dir / JOURNAL_FILE)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_full_disk_loses_nothing_and_is_written_to_once_there_is_room(run_dir: Path) -> None:
    with start_program(FULL_DISK, run_dir) as program:
        *failure, last = first_line(program).split()
        assert "full" in " ".join(failure) or "I/O" in " ".join(failure)
        with closing(JournalReader(run_dir)) as reader:
            kept = reader.newest_ids().step
            assert 1 <= kept < int(last)
        assert program.stdin is not None
        said, complaint = program.communicate("go on\n")
        assert said == "written\n", complaint
    with closing(JournalReader(run_dir)) as reader:
        assert reader.series(["m/0"]).steps.tolist() == list(range(2, int(last) + 1))
        assert [entry.step for entry in reader.events()] == [int(last)]
