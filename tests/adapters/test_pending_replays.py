"""Repetitions that two threads collect: each result is taken once, and the end waits for its recording."""

from __future__ import annotations

import threading
import time

from engine.adapters.replays.pending_replays import PendingReplays
from engine.outputs.fault_report import VANISHED, Fault
from engine.supervision.run_memory import RunMemory
from engine.tasks.person.spec import SPEC
from tests.small import small_config


class Ended:
    """A repetition that has ended, and whose result is slow to read."""

    step = 3

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.num_readers = 0
        self.is_asked = threading.Event()

    def result(self) -> Fault:
        self.num_readers += 1
        self.is_asked.set()
        time.sleep(0.05)
        return Fault(VANISHED)

    def abandon(self) -> None:
        raise AssertionError("it has a result")


def test_the_end_waits_for_a_finding_that_another_thread_records() -> None:
    recorded: list[int] = []

    def found(fault: Fault, step: int, seconds: float) -> None:
        time.sleep(0.05)
        recorded.append(step)

    replays, replay = PendingReplays(RunMemory(small_config(), SPEC), found), Ended()
    replays.add(replay)
    other = threading.Thread(target=replays.collect)
    other.start()
    assert replay.is_asked.wait(10)
    replays.end()
    assert recorded == [3] and replay.num_readers == 1
    other.join()
