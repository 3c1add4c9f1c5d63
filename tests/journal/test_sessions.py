"""Sessions: which process is alive."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from engine.journal.reader import JournalReader
from engine.journal.sessions import STALE_SECONDS, WriterSession, begin_session, end_session
from engine.journal.store import create_journal
from engine.journal.writer import JournalWriter
from tests.recorded import writing


def fresh() -> WriterSession:
    now = time.time()
    return WriterSession(1, now, None, now, os.getpid(), socket.gethostname(), 0)


def gone() -> int:
    """The number of a process that has just ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_a_session_with_a_process_and_a_fresh_heartbeat_is_alive() -> None:
    assert fresh().is_alive()


def test_a_session_that_ended_is_not_alive() -> None:
    assert not replace(fresh(), ended=time.time()).is_alive()


def test_a_session_without_its_process_is_not_alive() -> None:
    session = replace(fresh(), pid=gone())
    assert not session.process_exists()
    assert not session.is_alive()


def test_a_session_that_is_silent_for_long_is_not_alive() -> None:
    began = psutil.Process().create_time()
    silent = replace(fresh(), heartbeat=began + 0.1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: began + STALE_SECONDS + 1)
        assert silent.process_exists()
        assert not silent.is_alive()


def test_a_younger_process_with_the_same_number_is_another_one() -> None:
    assert not replace(fresh(), heartbeat=psutil.Process().create_time() - STALE_SECONDS - 1).process_exists()


def test_a_killed_process_that_nobody_has_collected_is_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        now = time.time()
        silent = replace(fresh(), pid=process.pid, heartbeat=now)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "time", lambda: now + STALE_SECONDS + 1)
            assert silent.process_exists()
            process.kill()
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            assert not silent.process_exists()


def test_a_process_of_another_host_is_judged_by_its_heartbeat() -> None:
    session = replace(fresh(), pid=gone(), host="elsewhere")
    assert session.is_alive()
    assert not replace(session, heartbeat=time.time() - STALE_SECONDS - 1).is_alive()


def test_a_process_that_may_not_be_touched_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(pid: int, number: int) -> None:
        raise PermissionError(pid, number)

    monkeypatch.setattr(os, "kill", forbidden)
    assert fresh().process_exists()


def test_an_end_without_room_answers_nobody_and_can_be_tried_again(run_dir: Path) -> None:
    with closing(create_journal(run_dir)) as connection:
        session = begin_session(connection)
        rows = [(f'{{"op": "note", "text": "{"x" * 200}"}}',) for _ in range(200)]
        connection.executemany("INSERT INTO commands VALUES (NULL, 0, 'me', ?)", rows)
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(sqlite3.OperationalError, match="full"):
            end_session(connection, session)
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (0,)
        connection.execute("PRAGMA max_page_count = 100000")
        end_session(connection, session)
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (200,)


def test_an_end_that_fails_half_way_is_taken_back(run_dir: Path) -> None:
    with closing(create_journal(run_dir)) as connection:
        connection.execute("INSERT INTO commands VALUES (NULL, 0, 'me', '{}')")
        connection.execute("DROP TABLE sessions")
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            end_session(connection, 1)
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (0,)


def test_a_clock_set_back_gives_no_negative_age() -> None:
    assert replace(fresh(), heartbeat=time.time() + 100).age == 0


def test_each_writer_is_a_session(run_dir: Path) -> None:
    for number in (1, 2):
        with writing(run_dir), closing(JournalReader(run_dir)) as reader:
            session = reader.heartbeat()
            assert session is not None
            assert (session.id, session.pid, session.ended) == (number, os.getpid(), None)
            assert reader.is_alive()
    with closing(JournalReader(run_dir)) as reader:
        assert not reader.is_alive()


def test_a_journal_that_never_had_a_writer_is_not_alive(run_dir: Path, writer: JournalWriter) -> None:
    with closing(JournalReader(run_dir)) as reader:
        writer._home.connection.execute("DELETE FROM sessions")  # pyright: ignore[reportPrivateUsage]
        assert reader.heartbeat() is None
        assert not reader.is_alive()
