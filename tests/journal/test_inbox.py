"""Commands reach the engine once, in order, and each is answered."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.journal import store
from engine.journal import writer as writer_module
from engine.journal.inbox import MAX_REQUESTS, Inbox
from engine.journal.reader import JournalReader
from engine.journal.sender import Sender, await_outcome, send
from engine.journal.store import JOURNAL_FILE, open_readable
from engine.journal.writer import JournalWriter
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.commands import Request
from engine.protocol.events import Status
from tests.person_state import person_state
from tests.recorded import first_line, start_program, writing

LEAVES_A_COMMAND = """
import os, sys
from pathlib import Path
from engine.journal.sender import send
from engine.journal.writer import JournalWriter
from engine.protocol import commands as c, events as e
writer = JournalWriter(Path(sys.argv[1]))
writer.start()
answered = send(Path(sys.argv[1]), c.Pause(), "me")
writer.record_event(1, e.Paused("running"), status=e.Status.APPLIED, command_id=answered)
send(Path(sys.argv[1]), c.Stop("left"), "me")
assert writer.flush()
print("left", flush=True)
os._exit(9)
"""


@pytest.fixture
def mailbox(run_dir: Path, writer: JournalWriter) -> Iterator[Inbox]:
    with closing(Inbox(run_dir)) as opened:
        yield opened


def insert(run_dir: Path, *bodies: str) -> None:
    """Put rows where commands stand, as a program that knows no `send` might."""
    with closing(sqlite3.connect(run_dir / JOURNAL_FILE)) as connection, connection:
        connection.executemany("INSERT INTO commands VALUES (NULL, 0, 'x', ?)", [(body,) for body in bodies])


def test_commands_arrive_once_in_the_order_sent(run_dir: Path, mailbox: Inbox) -> None:
    assert mailbox.poll() == []
    first = send(run_dir, c.Pause(), "me")
    second = send(run_dir, c.AddNote("two\nlines"), "you")
    assert mailbox.poll() == [Request(first, "me", c.Pause()), Request(second, "you", c.AddNote("two\nlines"))]
    assert mailbox.poll() == []


def test_commits_of_the_writer_bring_nothing_twice(run_dir: Path, writer: JournalWriter, mailbox: Inbox) -> None:
    send(run_dir, c.Pause(), "me")
    assert len(mailbox.poll()) == 1
    for step in range(5):
        writer.record_step(step, 0.1, ("a",), (1.0,))
        assert writer.flush()
        assert mailbox.poll() == []


def test_a_command_sent_before_the_box_was_opened_arrives(run_dir: Path, writer: JournalWriter) -> None:
    send(run_dir, c.Pause(), "me")
    with closing(Inbox(run_dir)) as mailbox:
        assert [request.command for request in mailbox.poll()] == [c.Pause()]


def test_a_second_box_of_the_same_session_leaves_out_what_was_answered(run_dir: Path, writer: JournalWriter) -> None:
    number = send(run_dir, c.Pause(), "me")
    writer.record_event(0, e.Paused("running"), status=Status.APPLIED, command_id=number)
    assert writer.flush()
    with closing(Inbox(run_dir)) as mailbox:
        assert mailbox.poll() == []


def test_a_resumed_run_replays_nothing_and_knows_what_is_stale(run_dir: Path) -> None:
    with start_program(LEAVES_A_COMMAND, run_dir) as dying:
        assert first_line(dying) == "left"
        dying.wait()
    with writing(run_dir) as writer, closing(Inbox(run_dir)) as mailbox:
        assert mailbox.poll() == []
        (stale,) = mailbox.stale()
        assert stale.command == c.Stop("left")
        fresh = send(run_dir, c.Validate(), "me")
        assert [request.id for request in mailbox.poll()] == [fresh]
        assert mailbox.stale() == [stale]
        writer.record_event(0, e.CommandRefused("stop", {}), status=Status.REFUSED, command_id=stale.id)
        assert writer.flush()
        assert mailbox.stale() == []


def test_closing_refuses_what_nobody_answered(run_dir: Path) -> None:
    with writing(run_dir) as writer:
        writer.record_state(person_state("r", step=12))
        answered, noted, open_ = (send(run_dir, c.SetLr(1e-3), "me") for _ in range(3))
        writer.record_event(3, e.LrSet(0, 1e-3, 0), status=Status.APPLIED, command_id=answered)
        writer.record_event(3, e.CheckpointRequested(), command_id=noted)
    with closing(JournalReader(run_dir)) as reader:
        outcomes = [reader.outcome(number) for number in (answered, noted, open_)]
    assert all(outcome is not None for outcome in outcomes)
    assert [outcome.status for outcome in outcomes if outcome] == [Status.APPLIED, Status.REFUSED, Status.REFUSED]
    last = outcomes[-1]
    assert last is not None
    assert (last.step, last.actor, last.reason) == (12, "me", "the run ended before it read this")
    assert last.event == e.CommandRefused("set-lr", {"value": 1e-3})


@pytest.mark.parametrize("body", ["", "{", "[]", '{"op": "explode"}', '{"op": "step", "num_steps": "many"}', "\x00"])
def test_a_command_that_cannot_be_read_is_refused_and_holds_nobody_up(run_dir: Path, mailbox: Inbox, body: str) -> None:
    insert(run_dir, '{"op": "pause"}', body, '{"op": "resume"}')
    assert [request.command for request in mailbox.poll()] == [c.Pause(), c.Resume()]
    assert mailbox.poll() == []
    outcome = await_outcome(run_dir, 2, timeout=1)
    assert outcome is not None
    assert outcome.status is Status.REFUSED
    assert outcome.event == e.CommandRefused("unreadable", {"text": body})
    assert outcome.reason


def test_bytes_that_are_no_text_cannot_stop_the_box(run_dir: Path, mailbox: Inbox) -> None:
    with closing(sqlite3.connect(run_dir / JOURNAL_FILE)) as connection, connection:
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute("INSERT INTO commands VALUES (NULL, 0, 'x', x'ff')")
        connection.execute("INSERT INTO commands VALUES (NULL, 0, 'x', CAST(x'ff' AS TEXT))")
    insert(run_dir, '{"op": "pause"}')
    assert [request.command for request in mailbox.poll()] == [c.Pause()]
    outcome = await_outcome(run_dir, 1, timeout=1)
    assert outcome is not None
    assert outcome.event == e.CommandRefused("unreadable", {"text": "\ufffd"})


def test_a_sender_with_a_broken_name_is_written_out(run_dir: Path, mailbox: Inbox) -> None:
    send(run_dir, c.AddNote("\udcff"), "me\udcff")
    assert mailbox.poll() == [Request(1, "me\\udcff", c.AddNote("\udcff"))]


def test_a_flood_is_handed_out_in_portions_and_completely(run_dir: Path, mailbox: Inbox) -> None:
    number = 2 * MAX_REQUESTS + 5
    insert(run_dir, *(f'{{"op": "note", "text": "{index}"}}' for index in range(number)))
    portions = [mailbox.poll() for _ in range(4)]
    assert [len(portion) for portion in portions] == [MAX_REQUESTS, MAX_REQUESTS, 5, 0]
    texts = [request.command for portion in portions for request in portion]
    assert texts == [c.AddNote(str(index)) for index in range(number)]


def test_many_senders_at_once_all_get_their_answer(run_dir: Path, writer: JournalWriter, mailbox: Inbox) -> None:
    numbers: list[int] = []

    def flood() -> None:
        numbers.extend(send(run_dir, c.Validate(), "flood") for _ in range(250))

    senders = [threading.Thread(target=flood) for _ in range(4)]
    for sender in senders:
        sender.start()
    arrived: list[int] = []
    deadline = time.monotonic() + 30
    while len(arrived) < 1000 and time.monotonic() < deadline:
        for request in mailbox.poll():
            arrived.append(request.id)
            writer.record_event(0, e.ValidationRequested(), status=Status.APPLIED, command_id=request.id)
    for sender in senders:
        sender.join()
    assert arrived == sorted(numbers) == list(range(1, 1001))
    assert writer.flush()
    with closing(JournalReader(run_dir)) as reader:
        assert len(reader.events()) == 1000


def test_a_box_that_cannot_be_read_says_so_and_does_not_raise(run_dir: Path, mailbox: Inbox) -> None:
    mailbox.close()
    assert mailbox.poll() == []
    assert mailbox.failure is not None


def test_a_journal_that_may_only_be_read_takes_no_command_and_says_who_can_help(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.journal.sender.open_writable", open_readable)
    with writing(run_dir), pytest.raises(UserError, match=r"readonly database; its owner can make it .* with chmod"):
        send(run_dir, c.Pause(), "me")


def test_nobody_sends_to_a_run_that_ended(run_dir: Path) -> None:
    with writing(run_dir):
        pass
    with pytest.raises(UserError, match="the run 'a-run' is not running, so no process would read the command"):
        send(run_dir, c.Pause(), "me")
    with closing(JournalReader(run_dir)) as reader:
        assert reader.newest_ids().command == 0


def test_a_run_that_ends_while_commands_pour_in_answers_every_one(run_dir: Path) -> None:
    numbers: list[int] = []

    def flood() -> None:
        try:
            while True:
                numbers.append(send(run_dir, c.Validate(), "flood"))
        except UserError:
            return

    with writing(run_dir):
        senders = [threading.Thread(target=flood) for _ in range(2)]
        for sender in senders:
            sender.start()
        deadline = time.monotonic() + 30
        while len(numbers) < 20 and time.monotonic() < deadline:
            time.sleep(0.01)
    for sender in senders:
        sender.join()
    assert numbers
    with closing(JournalReader(run_dir)) as reader:
        assert all(reader.outcome(number) is not None for number in numbers)


def test_a_file_that_stays_locked_is_the_senders_to_know(
    run_dir: Path, writer: JournalWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "BUSY_SECONDS", 0.05)
    with closing(sqlite3.connect(run_dir / JOURNAL_FILE, isolation_level=None)) as intruder:
        intruder.execute("BEGIN IMMEDIATE")
        with pytest.raises(UserError, match=r"cannot write to .*run\.sqlite: database is locked"):
            send(run_dir, c.Pause(), "me")
        intruder.execute("ROLLBACK")


def test_waiting_ends_with_the_answer_the_time_or_the_run(run_dir: Path) -> None:
    with writing(run_dir) as writer:
        number = send(run_dir, c.Pause(), "me")
        assert await_outcome(run_dir, number, timeout=0) is None

        def answer() -> None:
            writer.record_event(1, e.Paused("running"), status=Status.APPLIED, command_id=number)

        later = threading.Timer(0.1, answer)
        later.start()
        outcome = await_outcome(run_dir, number, timeout=10)
        assert outcome is not None
        assert outcome.event == e.Paused("running")
        later.join()
    started = time.monotonic()
    assert await_outcome(run_dir, 99, timeout=10) is None
    assert time.monotonic() - started < 5


def test_a_sender_kept_open_tells_a_busy_journal_from_a_run_that_is_gone(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "HEARTBEAT_SECONDS", 60.0)  # the journal is busy meanwhile
    with writing(run_dir) as writer:
        assert writer.flush()
        sender = Sender(run_dir, busy_seconds=0.001)
        first = sender.send(c.Pause(), "me")
        assert first is not None
        with closing(sqlite3.connect(run_dir / JOURNAL_FILE, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert sender.send(c.Pause(), "me") is None
            other.execute("ROLLBACK")
        assert sender.send(c.Pause(), "me") == first + 1
    with pytest.raises(UserError, match="not running"):
        sender.send(c.Pause(), "me")
    sender.close()
