"""The process of notifications with apprise, a local web server, a dead address and a hanging one."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import main
from cockpit.console.notify.notifier import SECONDS_AT_END, notifying
from engine.errors import UserError
from engine.journal.disk.run_dir import CONSOLE_LOG
from engine.protocol import events as e
from tests.recorded import ROOT
from tests.recorded_run import RecordedRun

pytest.importorskip("apprise", reason="the extra notify is not installed")


class Inbox:
    """A web server on this machine that keeps what is posted."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []
        self.arrived = threading.Condition()
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with inbox.arrived:
                    inbox.posted.append(json.loads(body))
                    inbox.arrived.notify_all()
                self.send_response(200)
                self.end_headers()

            def log_message(self, *words: object) -> None:
                """Print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://127.0.0.1:{self.server.server_port}/secret-token"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    def wait(self, count: int) -> None:
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.posted) >= count, 30), self.posted

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    """A live address."""
    found = Inbox()
    yield found
    found.close()


@pytest.fixture
def dead() -> Iterator[str]:
    """An address that refuses connections, of a port that no other program gets."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield f"json://127.0.0.1:{closed.getsockname()[1]}/dead-token"


@pytest.fixture
def hanging() -> Iterator[str]:
    """An address that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield f"json://127.0.0.1:{silent.getsockname()[1]}/hangs-token?rto=0.3"


def test_messages_arrive_and_bad_addresses_delay_nothing(inbox: Inbox, dead: str, hanging: str, tmp_path: Path) -> None:
    recorded = RecordedRun(tmp_path / "night", total_steps=400)
    recorded.note(e.AlertRaised("gradient", "of an earlier process", at_step=1))
    recorded.journal._clock = time.time  # its times are those of the test from now on
    with notifying([inbox.url, dead, hanging]) as tell:
        tell(recorded.directory, False)
        recorded.note(e.RunStarted("cpu", 1, 1, 1, 400))
        recorded.note(e.PhasePromoted(1, 2, ()), actor="autopilot")
        inbox.wait(1)
        recorded.note(e.RunFinished("complete", 60.0))
        recorded.close()
        began = time.monotonic()
    assert time.monotonic() - began < SECONDS_AT_END + 2
    inbox.wait(2)
    assert [(post["title"], post["type"]) for post in inbox.posted] == [
        ("night: step 0", "info"),
        ("night: finished", "success"),
    ]
    assert inbox.posted[0]["message"] == "phase 1 -> 2, on: nothing, by autopilot"
    log = (recorded.directory / CONSOLE_LOG).read_text()
    assert log.count("WARNING cockpit.notify notifications to json://127.0.0.1/... cannot be delivered") == 2
    assert "token" not in log


def test_a_run_whose_process_was_killed_is_told_by_the_process_that_outlives_it(inbox: Inbox, tmp_path: Path) -> None:
    source = f"""
import os, sys, signal
from pathlib import Path
from cockpit.console.notify.notifier import notifying
from engine.protocol import events as e
from tests.recorded_run import RecordedRun
import time
run = RecordedRun(Path({str(tmp_path / "night")!r}), total_steps=400)
run.journal._clock = time.time
with notifying([sys.argv[1]]) as tell:
    tell(run.directory, False)
    run.begin()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", source, inbox.url], cwd=ROOT, timeout=60, check=False)
    inbox.wait(1)
    assert (inbox.posted[0]["title"], inbox.posted[0]["type"]) == ("night: failed", "failure")
    assert "process" in inbox.posted[0]["message"]


def test_a_wrong_address_ends_the_program_before_there_is_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main.main(["--no-ui", "--config", "tiny", "--notify", "jsn://host/secret-token"]) == 2
    said = capsys.readouterr().err
    assert (
        said == "error: apprise knows no such address for notifications as jsn://...: write it like ntfy://my-topic\n"
    )
    assert not (tmp_path / "runs").exists()


def test_without_the_extra_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cockpit.console.notify.notifier.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'training-cockpit\[notify\]'"), notifying(["json://x"]):
        raise AssertionError("the block is not entered")
