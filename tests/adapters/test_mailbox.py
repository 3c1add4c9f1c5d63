"""The inbox of an attached run: no query while nothing was written, and no command is lost."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from engine.adapters.run import mailbox
from engine.adapters.run.mailbox import WatchedInbox
from engine.journal.inbox import Inbox
from engine.journal.sender import Sender
from engine.journal.writer import JournalWriter
from engine.protocol import commands as c


@pytest.fixture
def num_polls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows with each query."""
    polls: list[int] = []
    poll = Inbox.poll

    def counted(inbox: Inbox) -> list[c.Request]:
        polls.append(1)
        return poll(inbox)

    monkeypatch.setattr(Inbox, "poll", counted)
    return polls


def test_an_unchanged_log_is_read_only_sometimes(tmp_path: Path, num_polls: list[int]) -> None:
    with closing(JournalWriter(tmp_path)) as writer:
        writer.start()
        inbox = WatchedInbox(tmp_path)
        assert not any(inbox.fetch() for _ in range(50))
        assert 5 < len(num_polls) < 20
        inbox.close()


@pytest.mark.parametrize("has_time", [True, False])
def test_a_command_is_found_even_if_the_log_keeps_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_time: bool
) -> None:
    with closing(JournalWriter(tmp_path)) as writer:
        writer.start()
        inbox = WatchedInbox(tmp_path)
        if not has_time:
            same = SimpleNamespace(st_mtime_ns=1, st_size=1)
            monkeypatch.setattr(mailbox, "os", SimpleNamespace(stat=lambda path: same))  # pyright: ignore
        for _ in range(3):
            inbox.fetch()
        with closing(Sender(tmp_path)) as sender:
            sender.send(c.Pause(), "test")
        assert any(inbox.fetch() for _ in range(1 if has_time else 10))
        assert [request.command for request in inbox.poll()] == [c.Pause()]
        inbox.close()
