"""Commands from another thread to a training that a trainer drives in the test's own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from engine.adapters.run.attached_run import AttachedRun
from engine.errors import UserError
from engine.journal.reader import Entry, JournalReader
from engine.journal.sender import await_outcome, send
from engine.protocol import commands as c
from engine.protocol.commands import Command
from engine.protocol.events import Activity
from engine.protocol.state import RunState

SECONDS = 60.0


class Remote:
    """Sends commands to the run in `directory` as another process would, and waits for what they cause."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.is_over = threading.Event()

    def send(self, command: Command) -> Entry:
        """Send `command` and return its outcome."""
        outcome = await_outcome(self.directory, send(self.directory, command, "test"), SECONDS)
        assert outcome is not None, f"{command} was not answered"
        return outcome

    def await_state(self, holds: Callable[[RunState], bool]) -> RunState:
        """Return the first state for which `holds` is true."""
        until = time.monotonic() + SECONDS
        while time.monotonic() < until and not self.is_over.is_set():
            try:
                if (state := self.state()) is not None and holds(state):
                    return state
            except UserError:  # there is no journal yet
                pass
            time.sleep(0.005)
        raise AssertionError(f"it did not happen: {self.state()}")

    def await_pause(self) -> int:
        """Return the step at which the run is paused."""
        return self.await_state(lambda state: state.activity is Activity.PAUSED).step

    def state(self) -> RunState | None:
        """Return the newest state."""
        reader = JournalReader(self.directory)
        try:
            return reader.state()
        finally:
            reader.close()


def steered(train: Callable[[], object], directory: Path, script: Callable[[Remote], None]) -> None:
    """Call `train`, and meanwhile `script` in another thread; the training is stopped after it."""
    errors: list[BaseException] = []
    remote = Remote(directory)

    def steer() -> None:
        try:
            remote.await_state(lambda state: state.step >= 1)
            script(remote)
        except BaseException as error:
            errors.append(error)
        try:
            remote.send(c.Stop())
        except (UserError, AssertionError) as error:
            errors.append(error)

    thread = threading.Thread(target=steer)
    thread.start()
    try:
        train()
    finally:
        remote.is_over.set()
        thread.join()
    if errors:
        raise errors[0]


def notice(directory: Path, run: AttachedRun, *commands: Command) -> None:
    """Send commands, and wait until they are certain to be carried out at the next boundary."""
    before = run._attention  # pyright: ignore[reportPrivateUsage]
    assert not before
    for command in commands:
        send(directory, command, "test")
    until = time.monotonic() + SECONDS
    while not run._attention and time.monotonic() < until:  # pyright: ignore[reportPrivateUsage]
        time.sleep(0.002)
