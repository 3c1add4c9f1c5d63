"""Files of an open journal that are deleted, replaced or damaged: the journal is whole again, in its place."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.journal.disk.lock import try_lock
from engine.journal.inbox import Inbox
from engine.journal.reader import JournalReader
from engine.journal.sender import await_outcome, send
from engine.journal.store import JOURNAL_FILE
from engine.journal.writer import JournalWriter
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.events import Status
from tests.person_state import person_state
from tests.recorded import writing

NAMES = ("loss", "lr")


def fill(writer: JournalWriter, first: int, last: int) -> None:
    for step in range(first, last + 1):
        writer.record_step(step, step / 10, NAMES, (float(step), 0.5))
    writer.record_state(person_state("r", step=last))
    writer.record_event(last, e.NoteAdded(f"at {last}"))
    assert writer.flush(), writer.failure


def replace_with_text(run_dir: Path) -> None:
    (run_dir / "text").write_text("somebody's file")
    os.replace(run_dir / "text", run_dir / JOURNAL_FILE)


def replace_with_database(run_dir: Path) -> None:
    with closing(sqlite3.connect(run_dir / "other")) as other:
        other.execute("CREATE TABLE precious (x)")
    os.replace(run_dir / "other", run_dir / JOURNAL_FILE)


def delete(*names: str) -> Callable[[Path], None]:
    def act(run_dir: Path) -> None:
        for name in names:
            (run_dir / name).unlink()

    return act


VANISHINGS = {
    "the journal": (delete(JOURNAL_FILE), "run.sqlite was deleted"),
    "its log": (delete(f"{JOURNAL_FILE}-wal"), "run.sqlite-wal was deleted"),
    "its index": (delete(f"{JOURNAL_FILE}-shm"), "run.sqlite-shm was deleted"),
    "log and index": (delete(f"{JOURNAL_FILE}-wal", f"{JOURNAL_FILE}-shm"), "run.sqlite-wal and run.sqlite-shm were"),
    "the directory": (shutil.rmtree, "a-run was deleted or moved away"),
    "the directory, moved": (lambda run_dir: run_dir.rename(run_dir.with_name("b")), "was deleted or moved away"),
    "replaced by text": (replace_with_text, "is kept as run.sqlite.found-1"),
    "replaced by a database": (replace_with_database, "is kept as run.sqlite.found-1"),
    "emptied": (lambda run_dir: os.truncate(run_dir / JOURNAL_FILE, 0), "the last"),
}


@pytest.mark.parametrize("name", VANISHINGS)
def test_the_journal_is_written_again_with_its_rows_and_the_run_goes_on(run_dir: Path, name: str) -> None:
    act, said = VANISHINGS[name]
    with writing(run_dir) as writer:
        writer.set_meta("key", 7)
        fill(writer, 1, 1500)
        act(run_dir)
        fill(writer, 1501, 1600)
        (loss,) = writer.take_losses()
        assert said in loss and str(run_dir / JOURNAL_FILE) in loss
    with closing(JournalReader(run_dir)) as reader:
        assert reader.series(NAMES).steps.tolist() == list(range(1, 1601))
        assert [entry.event for entry in reader.events()] == [e.NoteAdded("at 1500"), e.NoteAdded("at 1600")]
        assert reader.meta("key") == 7
        session, state = reader.heartbeat(), reader.state()
        assert session is not None and session.ended is not None
        assert state is not None and state.step == 1600
    assert (run_dir / JOURNAL_FILE).stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(run_dir / JOURNAL_FILE)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("replace", [replace_with_text, replace_with_database])
def test_a_file_that_was_put_in_the_journal_s_place_is_kept_byte_for_byte(
    run_dir: Path, replace: Callable[[Path], None]
) -> None:
    with writing(run_dir) as writer:
        fill(writer, 1, 3)
        replace(run_dir)
        foreign = (run_dir / JOURNAL_FILE).read_bytes()
        fill(writer, 4, 5)
    assert (run_dir / f"{JOURNAL_FILE}.found-1").read_bytes() == foreign
    assert not (run_dir / f"{JOURNAL_FILE}.found-1-wal").exists()


def test_a_journal_that_another_program_packs_is_no_loss(run_dir: Path) -> None:
    """VACUUM makes it shorter: that is no damage."""
    with writing(run_dir) as writer:
        writer.set_meta("long", "x" * 2_000_000)
        fill(writer, 1, 3)
        writer.set_meta("long", "")
        fill(writer, 4, 5)
        with closing(sqlite3.connect(run_dir / JOURNAL_FILE)) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            before = (run_dir / JOURNAL_FILE).stat().st_size
            fill(writer, 6, 6)
            other.execute("VACUUM")
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert (run_dir / JOURNAL_FILE).stat().st_size < before
        fill(writer, 7, 8)
        assert writer.take_losses() == []
    with closing(JournalReader(run_dir)) as reader:
        assert reader.series(NAMES).steps.tolist() == list(range(1, 9))


def test_where_it_cannot_be_written_again_everything_waits_until_it_can(run_dir: Path) -> None:
    with writing(run_dir) as writer:
        fill(writer, 1, 3)
        shutil.rmtree(run_dir)
        run_dir.write_text("a file where the directory was")
        writer.record_step(4, 0.4, NAMES, (4.0, 0.5))
        assert not writer.flush() and writer.failure is not None
        run_dir.unlink()
        fill(writer, 5, 5)
    with closing(JournalReader(run_dir)) as reader:
        assert reader.series(NAMES).steps.tolist() == [1, 2, 3, 4, 5]


def test_a_second_process_stays_refused_in_a_directory_that_was_made_again(run_dir: Path) -> None:
    with writing(run_dir) as writer:
        fill(writer, 1, 3)
        shutil.rmtree(run_dir)
        fill(writer, 4, 5)
        assert try_lock(run_dir) is None
        with pytest.raises(UserError, match="another process writes it"):
            JournalWriter(run_dir).start()
    lock = try_lock(run_dir)
    assert lock is not None
    lock.release()


@pytest.mark.parametrize("name", ["the journal", "the directory", "emptied"])
def test_commands_and_their_answers_pass_through_the_new_journal(run_dir: Path, name: str) -> None:
    act, _ = VANISHINGS[name]
    with writing(run_dir) as writer:
        writer.record_state(person_state("r"))
        mailbox = Inbox(run_dir)
        first = send(run_dir, c.Pause(), "test")
        assert [request.id for request in mailbox.poll()] == [first]
        fill(writer, 1, 3)
        act(run_dir)
        fill(writer, 4, 5)
        second = send(run_dir, c.AddNote("hello"), "test")
        assert [request.command for request in mailbox.poll()] == [c.AddNote("hello")]
        writer.record_event(5, e.NoteAdded("hello"), status=Status.APPLIED, command_id=second)
        outcome = await_outcome(run_dir, second, 10)
        assert outcome is not None and outcome.event == e.NoteAdded("hello")
        mailbox.close()
