"""Locks that the system releases when their owner dies."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from engine.journal.disk.lock import try_lock
from tests.recorded import first_line, start_program

HOLDER = """
import sys, time
from pathlib import Path
from engine.journal.disk.lock import try_lock
lock = try_lock(Path(sys.argv[1]))
print("locked" if lock else "busy", flush=True)
time.sleep(60)
"""


def test_a_lock_is_held_by_one_until_released(tmp_path: Path) -> None:
    first = try_lock(tmp_path)
    assert first is not None
    assert try_lock(tmp_path) is None
    first.release()
    first.release()
    second = try_lock(tmp_path)
    assert second is not None
    second.release()


def test_a_lock_ends_with_its_block(tmp_path: Path) -> None:
    lock = try_lock(tmp_path)
    assert lock is not None
    with lock:
        assert try_lock(tmp_path) is None
    again = try_lock(tmp_path)
    assert again is not None
    again.release()


def test_a_killed_process_gives_its_lock_back(tmp_path: Path) -> None:
    with start_program(HOLDER, tmp_path) as holder:
        assert first_line(holder) == "locked"
        assert try_lock(tmp_path) is None
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    lock = try_lock(tmp_path)
    assert lock is not None
    lock.release()


def test_a_forked_child_does_not_hold_its_parents_lock(tmp_path: Path) -> None:
    lock = try_lock(tmp_path)
    assert lock is not None
    to_child, to_parent = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(to_child[1])
        os.write(to_parent[1], b"!")
        os.read(to_child[0], 1)
        os._exit(0)
    os.read(to_parent[0], 1)
    lock.release()
    again = try_lock(tmp_path)
    for end in (*to_child, *to_parent):
        os.close(end)
    os.waitpid(child, 0)
    assert again is not None
    again.release()
