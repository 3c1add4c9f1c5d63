"""Programs that a test lets `run` watch: a script, conditions on the run's state, and commands that wait for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from engine.errors import UserError
from engine.journal.sender import Sender
from engine.protocol.commands import Command
from tests.adapters.own_loop import state_of


def script(folder: Path, text: str, name: str = "train.py") -> str:
    """Write a program and return its path."""
    path = folder / name
    path.write_text(text)
    return str(path)


def holds(directory: Path, condition: Callable[..., bool]) -> bool:
    """Return whether a condition on the newest state holds; False before there is a state."""
    try:
        return condition(state_of(directory))
    except (UserError, AssertionError):  # the journal is not there yet
        return False


def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


class Steering(threading.Thread):
    """Sends commands, each when its condition on the newest state holds."""

    def __init__(self, directory: Path, plan: list[tuple[Callable[..., bool], Command]]) -> None:
        super().__init__(daemon=True)
        self._directory = directory
        self._plan = plan

    def run(self) -> None:
        """Wait for each condition in turn, and send its command."""
        for condition, command in self._plan:
            while not holds(self._directory, condition):
                time.sleep(0.02)
            with closing(Sender(self._directory)) as sender:
                sender.send(command, "test")
