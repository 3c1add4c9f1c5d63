"""The keyboard of the real program, whatever else arrives on its terminal."""

from __future__ import annotations

import os
import random
import time
from contextlib import closing
from pathlib import Path

import pytest

from cockpit.terminal.drivers.input_parser import BROKEN_SECONDS
from engine.journal.reader import Entry, JournalReader
from engine.protocol import events as e
from engine.protocol.events import Status
from tests.e2e.terminal_session import TerminalSession
from tests.e2e.test_steering import events_of, poisoned, running

pytestmark = pytest.mark.timeout(240)

NOISE = (
    b"\xe9",  # a Latin-1 paste
    b"\x1b[M \xe9\xa9",  # an X10 mouse report
    b"\x1b[200~caf\xe9 q l 1 2",  # a paste without an end
    b"\x1b[200~" + b"q1l\n" * 20_000 + b"\x1b[201~",
    b"\x1b]11;rgb:1111/llll/qqqq\x1b\\\x1bP1+r544e=71\x1b\\\x1b[?64;1;2c\x1b[113;1R",  # replies
    b"\x1b[97;1:3u\x1b[1114112u\x1b[48;99999;99999;0;0t",
    b"\x00\xff\xfe\xf0\x9f",
    b"\x1b]0;a title without an end",
)
"""Nothing of it may act as keys or end the reading of keys."""

WORDS = ("--config", "small.yaml", "--run", "one")

TRAINING = (
    *("gradient norm", "loss clamp", "data stall", "plateau"),
    *("dead module", "exploding module", "vanishing module"),
)
"""Kinds of alerts that tell of a training's numbers, whatever is typed."""

STABLE = ("--set", "training.learning_rate=1e-6", "--set", "guard.spike_score=1e9")
"""A model that learns next to nothing, whose losses are no spikes."""


@pytest.mark.slow
def test_keys_work_after_any_bytes_and_bytes_that_are_no_keys_do_nothing(folder: Path) -> None:
    directory = folder / "runs/one"
    with TerminalSession(poisoned("pace", *WORDS, *STABLE), folder, size=(120, 40)) as terminal:
        running(terminal)
        for noise in NOISE:
            send(terminal, noise)
            terminal.press(" ")
            terminal.wait_for("‖ paused")
            terminal.press(" ")
            running(terminal)
        pressed = 2 * len(NOISE)
        terminal.wait_until(lambda _: len(answers(directory)) >= pressed, "the journal's last answer")
        assert [(type(entry.event), entry.status) for entry in answers(directory)] == [
            (e.Paused, Status.APPLIED),
            (e.Resumed, Status.APPLIED),
        ] * len(NOISE)
        alerts = [event for event in events_of(directory, e.AlertRaised) if isinstance(event, e.AlertRaised)]
        assert [alert for alert in alerts if alert.kind not in TRAINING] == []
        assert not events_of(directory, e.SpikeDetected) and not events_of(directory, e.StepSkipped)
        assert alerts or "alert" not in terminal.text()
        send(terminal, random.Random(5).randbytes(2000).replace(b"q", b"").replace(b"\x03", b""))
        send(terminal, b"\x1b")
        terminal.press("\x1b[17~")  # F6
        terminal.wait_for("[log]")


def answers(directory: Path) -> list[Entry]:
    """How each command ended that was given to the run."""
    with closing(JournalReader(directory)) as reader:
        return [entry for entry in reader.events() if entry.command_id is not None and entry.status != Status.NOTED]


def send(terminal: TerminalSession, data: bytes) -> None:
    """Write bytes to the program as fast as it reads them, and wait until a paste without an end is over."""
    while data:
        data = data[os.write(terminal.master, data[:1024]) :]
    terminal.wait_until_read()
    time.sleep(BROKEN_SECONDS + 0.8)  # a key that came before the end of the paste would be a part of it
