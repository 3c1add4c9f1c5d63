"""Watch a run's directory during training: report deleted files and write them again if possible."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from engine.errors import UserError
from engine.journal.disk.lock import Lock
from engine.journal.disk.run_dir import CONFIG_FILE, LOCK_FILE, lock_run
from engine.protocol.events import AlertRaised
from engine.runtime.checkpointer import Checkpointer
from engine.runtime.recorder import VANISHED
from engine.runtime.start.bootstrap import save_config
from engine.training.checkpoint.file import SUPERSEDED, list_checkpoints

_SECONDS: Final = 0.5
"""Seconds between checks of the directory."""


class Upkeep:
    """Maintains the directory of the run of `checkpointer`; the engine calls it at every step boundary.

    The journal's thread restores its own files. After a disk error the next check tries again.
    """

    def __init__(self, checkpointer: Checkpointer) -> None:
        self._checkpointer = checkpointer
        self._recorder = checkpointer.recorder
        self._directory = checkpointer.directory.parent
        self._lock: Lock | None = None
        self._due = 0.0

    def observe(self) -> None:
        """Check the directory about twice a second; other calls take microseconds."""
        self._recorder.watch_losses()
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + _SECONDS
        with suppress(OSError, UserError):
            self._keep_directory()
        self._keep_checkpoints()

    def close(self) -> None:
        """Release the lock that replaced a deleted one."""
        if self._lock is not None:
            self._lock.release()

    def _keep_directory(self) -> None:
        """Restore the configuration that a resume needs, and the lock that excludes a second process."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (self._directory / CONFIG_FILE).exists():
            save_config(self._directory, self._checkpointer.config)
        if not (self._directory / LOCK_FILE).exists():
            with suppress(UserError):  # another process was faster, but it cannot have the journal, which is locked too
                self.close()
                self._lock = lock_run(self._directory)

    def _keep_checkpoints(self) -> None:
        """Forget deleted checkpoints, and write a new one if the newest was deleted.

        A listing that is read while one is written may lack both the new one and one that was pruned for it. So nothing
        is called deleted before the writer has finished.
        """
        directory, inventory = self._checkpointer.directory, self._checkpointer.inventory
        left = [path.name for path in list_checkpoints(directory)]
        if not inventory.is_complete(left, also=self._recorder.state.checkpoints):
            self._checkpointer.wait_for_checkpoints()
            left = [path.name for path in list_checkpoints(directory)]
        state = self._recorder.state
        missing = inventory.check(left, also=state.checkpoints)
        aside = {path.name for path in list_checkpoints(directory / SUPERSEDED)} if missing else ()
        lost = [name for name in missing if name not in aside]
        if not lost:
            return
        good = state.good_checkpoint if state.good_checkpoint in left else ""
        self._recorder.update(checkpoints=tuple(left), good_checkpoint=good)
        newer = left[-1] if left and left[-1] > lost[-1] else ""
        self._recorder.record_event(AlertRaised(VANISHED, _said(directory, lost, state.step, newer)))
        if not newer:
            self._checkpointer.checkpoint("step")


def _said(directory: Path, lost: Sequence[str], step: int, newer: str) -> str:
    names = lost[-1] if len(lost) == 1 else f"{len(lost)} checkpoints up to {lost[-1]}"
    return (
        f"{names} {'was' if len(lost) == 1 else 'were'} deleted from {directory} while the run trained; "
        f"step {step} goes on, and {f'{newer} was saved there since' if newer else 'is saved there next'}"
    )
