"""The journal's file: who may read it, and what is refused."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.journal.disk.schema import FORMAT
from engine.journal.reader import JournalReader
from engine.journal.store import JOURNAL_FILE, create_journal, open_readable, open_writable
from engine.journal.writer import JournalWriter
from tests.recorded import writing

NOBODY = 65534


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_only_the_owner_may_enter_and_read(run_dir: Path, writer: JournalWriter) -> None:
    writer.record_step(1, 0.1, ("a",), (1.0,))
    assert writer.flush()
    assert mode_of(run_dir) == 0o700
    assert {path.name: mode_of(path) for path in run_dir.iterdir()} == {
        JOURNAL_FILE: 0o600,
        f"{JOURNAL_FILE}-wal": 0o600,
        f"{JOURNAL_FILE}-shm": 0o600,
    }


def test_a_closed_journal_is_one_file(run_dir: Path) -> None:
    with writing(run_dir):
        pass
    assert [path.name for path in run_dir.iterdir()] == [JOURNAL_FILE]


def test_the_file_alone_holds_everything_once_the_writer_has_gone(run_dir: Path, tmp_path: Path) -> None:
    with writing(run_dir) as writer:
        reader = JournalReader(run_dir)
        writer.record_step(1, 0.1, ("a",), (1.0,))
    (tmp_path / "copy").mkdir()
    shutil.copy(run_dir / JOURNAL_FILE, tmp_path / "copy")
    reader.close()
    with closing(JournalReader(tmp_path / "copy")) as copy:
        assert copy.newest_ids().step == 1


def test_a_path_may_hold_what_an_address_may_not(tmp_path: Path) -> None:
    run_dir = tmp_path / "50% done? #1 [x] é\n"
    with writing(run_dir) as writer:
        writer.record_step(1, 0.1, ("a",), (1.0,))
    with closing(JournalReader(run_dir)) as reader:
        assert reader.newest_ids().step == 1


def test_a_missing_journal_is_named(tmp_path: Path) -> None:
    for opening in (open_readable, open_writable):
        with pytest.raises(UserError, match=r"there is no journal at .*run\.sqlite"):
            opening(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / JOURNAL_FILE).write_text("loss,step\n" * 1000)
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda *words, **named: opened.append(connect(*words, **named)) or opened[-1]
    )
    for opening in (open_readable, open_writable, create_journal):
        with pytest.raises(UserError, match="not a database; move it out of the run's directory, and --resume"):
            opening(tmp_path)
    for connection in opened:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")
    assert len(opened) >= 3


@pytest.mark.parametrize("head", [b"", b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83"])
@pytest.mark.parametrize("with_index", [False, True])
def test_a_log_of_random_bytes_is_not_waited_for(run_dir: Path, head: bytes, with_index: bool) -> None:
    with writing(run_dir) as writer:
        writer.record_step(1, 0.1, ("a",), (1.0,))
    log = run_dir / f"{JOURNAL_FILE}-wal"
    log.write_bytes(head + bytes(range(256)) * 50)
    if with_index:
        (run_dir / f"{JOURNAL_FILE}-shm").write_bytes(bytes(32768))
    began = time.monotonic()
    with closing(JournalReader(run_dir, at_rest=True)) as reader:
        assert reader.newest_ids().step == 1
    assert time.monotonic() - began < 2


def test_a_log_of_sqlite_is_read_at_rest(run_dir: Path, tmp_path: Path) -> None:
    with writing(run_dir) as writer:
        writer.record_step(1, 0.1, ("a",), (1.0,))
        assert writer.flush()
        shutil.copytree(run_dir, tmp_path / "copy")
    assert (tmp_path / "copy" / f"{JOURNAL_FILE}-wal").stat().st_size > 0
    with closing(JournalReader(tmp_path / "copy", at_rest=True)) as reader:
        assert reader.newest_ids().step == 1


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / JOURNAL_FILE)) as other:
        other.execute("CREATE TABLE theirs (x)")
    for opening in (open_readable, open_writable, create_journal):
        with pytest.raises(UserError, match="not a journal of a run"):
            opening(tmp_path)
    with closing(sqlite3.connect(tmp_path / JOURNAL_FILE)) as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]


def test_an_empty_file_becomes_a_journal_only_for_the_writer(tmp_path: Path) -> None:
    (tmp_path / JOURNAL_FILE).touch()
    with pytest.raises(UserError, match="not a journal"):
        open_readable(tmp_path)
    create_journal(tmp_path).close()
    open_readable(tmp_path).close()


def test_a_journal_of_another_format_is_named(tmp_path: Path) -> None:
    create_journal(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / JOURNAL_FILE)) as other:
        other.execute(f"PRAGMA user_version = {FORMAT + 1}")
    with pytest.raises(UserError, match=f"format {FORMAT + 1}, and this program reads format {FORMAT}: use the ver"):
        open_readable(tmp_path)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write the journal"):
        create_journal(tmp_path / "file" / "run" / JOURNAL_FILE)


def test_a_reader_cannot_write(run_dir: Path, writer: JournalWriter) -> None:
    with closing(open_readable(run_dir)) as connection, pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM branches")


@contextmanager
def read_only_folder(*, wal: bytes | None = None) -> Iterator[Path]:
    """A folder that this process may read and not write, also where the tests run as root; `wal` was left behind."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    with writing(folder) as writer:
        writer.record_step(3, 0.1, ("a",), (1.0,))
    (folder / JOURNAL_FILE).chmod(0o444)
    if wal is not None:
        (folder / f"{JOURNAL_FILE}-wal").write_bytes(wal)
    folder.chmod(0o555)
    was = os.geteuid()
    if was == 0:
        os.seteuid(NOBODY)
    try:
        yield folder
    finally:
        os.seteuid(was)
        folder.chmod(0o700)
        shutil.rmtree(folder)


@pytest.mark.parametrize("wal", [None, b""])
def test_a_finished_run_in_a_read_only_folder_can_be_read(wal: bytes | None) -> None:
    with read_only_folder(wal=wal) as folder:
        with pytest.raises(PermissionError):
            (folder / "x").touch()
        with closing(JournalReader(folder)) as reader:
            assert reader.newest_ids().step == 3


def test_rows_that_stand_in_the_log_alone_are_not_passed_over() -> None:
    with read_only_folder(wal=b"rows") as folder, pytest.raises(UserError, match="cannot open"):
        JournalReader(folder)
