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
from engine.protocol.events import AlertRaised, NoteAdded
from engine.runtime.checkpointer import Checkpointer
from engine.runtime.recorder import VANISHED
from engine.runtime.start.bootstrap import save_config
from engine.training.checkpoint.file import list_checkpoints
from engine.training.checkpoint.retention import SUPERSEDED

UNLISTED: Final = "disk"
"""The kind of the alert that the disk of a run does not answer."""
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
        self._unlisted_since: float | None = None

    def observe(self) -> None:
        """Check the directory about twice a second; other calls take microseconds."""
        self._recorder.watch_losses()
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + _SECONDS
        with suppress(OSError, UserError):
            self._keep_directory()
        try:
            lost, left = self._deleted_checkpoints()
        except OSError as error:
            self._note_unlisted(error, now)
            return
        self._note_listed(now)
        if lost:
            self._replace_checkpoints(lost, left)

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

    def _deleted_checkpoints(self) -> tuple[list[str], list[str]]:
        """Return the names of deleted checkpoints, and of those that are left.

        A listing that is read while one is written may lack both the new one and one that was pruned for it. So nothing
        is called deleted before the writer has finished. Raises OSError if the disk does not answer.
        """
        directory, inventory = self._checkpointer.directory, self._checkpointer.inventory
        left, aside = _names(directory), list[str]()
        if not inventory.is_complete(left, also=self._recorder.state.checkpoints):
            self._checkpointer.wait_for_checkpoints()
            left, aside = _names(directory), _names(directory / SUPERSEDED)
        missing = inventory.check(left, also=self._recorder.state.checkpoints)
        return [name for name in missing if name not in aside], left

    def _note_unlisted(self, error: OSError, now: float) -> None:
        """Raise an alert, once for an outage, that the checkpoints cannot be listed."""
        if self._unlisted_since is None:
            self._unlisted_since = now
            said = f"the checkpoints cannot be listed: {error.strerror or error} (in {self._checkpointer.directory})"
            self._recorder.record_event(
                AlertRaised(UNLISTED, f"{said}; the run goes on, and tries again", "look after the disk of the run")
            )

    def _note_listed(self, now: float) -> None:
        """Record the end of an outage."""
        if self._unlisted_since is not None:
            seconds, self._unlisted_since = now - self._unlisted_since, None
            self._recorder.record_event(NoteAdded(f"the checkpoints can be listed again after {seconds:.0f} s"))

    def _replace_checkpoints(self, lost: Sequence[str], left: Sequence[str]) -> None:
        """Forget deleted checkpoints, and write a new one if the newest was deleted."""
        state = self._recorder.state
        good = state.good_checkpoint if state.good_checkpoint in left else ""
        self._recorder.update(checkpoints=tuple(left), good_checkpoint=good)
        newer = left[-1] if left and left[-1] > lost[-1] else ""
        self._recorder.record_event(AlertRaised(VANISHED, _said(self._checkpointer.directory, lost, state.step, newer)))
        if not newer:
            self._checkpointer.checkpoint("step")


def _names(directory: Path) -> list[str]:
    return [path.name for path in list_checkpoints(directory)]


def _said(directory: Path, lost: Sequence[str], step: int, newer: str) -> str:
    names = lost[-1] if len(lost) == 1 else f"{len(lost)} checkpoints up to {lost[-1]}"
    return (
        f"{names} {'was' if len(lost) == 1 else 'were'} deleted from {directory} while the run trained; "
        f"step {step} goes on, and {f'{newer} was saved there since' if newer else 'is saved there next'}"
    )
