"""Handle missing data: report stuck workers, wait for unreachable data, and keep the run steerable and saved."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Final

from engine.config.sections import DataConfig
from engine.errors import UserError
from engine.protocol.events import AlertRaised, NoteAdded
from engine.runtime.checkpointer import Checkpointer
from engine.runtime.commands.command_processor import CommandProcessor
from engine.runtime.recorder import RunRecorder
from engine.task import DataGoneError

_TURN: Final = 0.05
_LONGEST_PAUSE: Final = 5.0
"""Maximum seconds between two attempts. The first pause is a fifth of a second, and each further one is longer."""


class Supply:
    """Handles data outages between the loop and its data."""

    def __init__(
        self,
        settings: DataConfig,
        recorder: RunRecorder,
        checkpointer: Checkpointer,
        commands: CommandProcessor,
        settle: Callable[[], None],
    ):
        self._settings = settings
        self._recorder = recorder
        self._checkpointer = checkpointer
        self._commands = commands
        self._settle = settle
        self.can_be_saved = False
        """Whether the error that ended the training left the state of the last step, as one in an update does not."""
        self._gone_since: float | None = None
        self._pause = 0.2
        self._held = 0.0
        self._held_at: float | None = None
        """When the last turn of the pause ended, if there is one: the time between two turns is that of a pause too."""

    @contextmanager
    def kept(self, restore: Callable[[], bool] = lambda: True) -> Generator[None]:
        """Record all steps before an error of the block, and note whether it left the state of the last of them.

        The block runs code of the task. `restore` undoes what it has done to the state, and returns whether it could.
        """
        try:
            yield
        except Exception as error:  # of whatever kind: it is raised again
            with suppress(RuntimeError):  # after some errors a GPU does nothing any more
                is_restored = restore()
                self._settle()
                self.can_be_saved = is_restored and not isinstance(error, DataGoneError)  # after that one it goes on
            raise

    @contextmanager
    def held(self) -> Generator[None]:
        """Leave the time of the block, a turn of a pause, out of that after which the run gives up."""
        began = time.monotonic() if self._held_at is None else self._held_at
        yield
        self._held_at = time.monotonic()
        if self._gone_since is not None:
            self._held += self._held_at - began

    def give_up(self) -> bool:
        """Return whether to stop waiting for the next batch. Stuck workers are reported meanwhile."""
        self._checkpointer.validator.report_stuck_readers()
        return self._commands.is_waiting()

    def has_come(self) -> None:
        """Note that data arrive again."""
        if self._gone_since is not None:
            seconds = time.monotonic() - self._gone_since
            self._recorder.record_event(NoteAdded(f"the data are there again after {seconds:.0f} s"))
            self._gone_since, self._pause, self._held = None, 0.2, 0.0

    def wait(self, error: DataGoneError) -> None:
        """Wait before the next attempt; return early if a command is pending.

        Raises UserError after the maximum waiting time.
        """
        self._checkpointer.validator.report_stuck_readers()
        now = time.monotonic()
        self._held_at = None
        if self._gone_since is None:
            self._gone_since = now
            self._recorder.record_event(self._alert(error))
        elif now - self._gone_since - self._held >= self._settings.wait_seconds:
            raise UserError(
                f"the data could not be reached for {now - self._gone_since:.0f} s ({error}): the run ends at step "
                f"{self._recorder.state.step}; bring them back and --resume it"
            )
        self._recorder.update(doing="waiting for the data, which cannot be reached")
        deadline = now + min(self._pause, self._settings.wait_seconds)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        while time.monotonic() < deadline and not self._commands.is_waiting():
            time.sleep(_TURN)

    def _alert(self, error: DataGoneError) -> AlertRaised:
        where, seconds = self._settings.path or "the synthetic dataset", self._settings.wait_seconds
        return AlertRaised(
            "data",
            f"the data cannot be reached: {error} (in {where}); trying again for {seconds:g} s",
            "mount the disk or bring the files back, or stop the run: nothing is lost",
        )
