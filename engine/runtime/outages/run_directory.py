"""A run's directory while it trains: what was deleted from it is said, and made again as far as it can be."""

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
"""How often the directory is looked at."""


class Upkeep:
    """Keeps the directory of the run that `checkpointer` belongs to; asked by the engine at every step boundary.

    The journal's thread puts its own files back. A disk that refuses is tried again at the next look.
    """

    def __init__(self, checkpointer: Checkpointer) -> None:
        self._checkpointer = checkpointer
        self._recorder = checkpointer.recorder
        self._directory = checkpointer.directory.parent
        self._lock: Lock | None = None
        self._known: Sequence[str] = ()
        self._due = 0.0

    def observe(self) -> None:
        """Look about twice a second; microseconds otherwise."""
        self._recorder.watch_losses()
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + _SECONDS
        with suppress(OSError, UserError):
            self._keep_directory()
        self._keep_checkpoints()

    def close(self) -> None:
        """Give back the lock that was taken for one that was deleted."""
        if self._lock is not None:
            self._lock.release()

    def _keep_directory(self) -> None:
        """The config that a resume needs, and the lock that keeps a second process out."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (self._directory / CONFIG_FILE).exists():
            save_config(self._directory, self._checkpointer.config)
        if not (self._directory / LOCK_FILE).exists():
            with suppress(UserError):  # another process was faster: it cannot have the journal, which is locked too
                self.close()
                self._lock = lock_run(self._directory)

    def _keep_checkpoints(self) -> None:
        """Checkpoints that were deleted are no longer offered; where the newest is among them, another is written."""
        state, directory = self._recorder.state, self._checkpointer.directory
        left = [path.name for path in list_checkpoints(directory)]
        aside = {path.name for path in list_checkpoints(directory / SUPERSEDED)}
        known = sorted({*self._known, *state.checkpoints} - aside)
        lost = lost_checkpoints(known, left, self._checkpointer.config.checkpoint.keep_last)
        self._known = left
        if not lost:
            return
        good = state.good_checkpoint if state.good_checkpoint in left else ""
        self._recorder.update(checkpoints=tuple(left), good_checkpoint=good)
        self._recorder.record_event(AlertRaised(VANISHED, _said(directory, lost, state.step)))
        if known[-1] in lost:
            self._checkpointer.checkpoint("step")


def lost_checkpoints(known: Sequence[str], left: Sequence[str], keep_last: int) -> tuple[str, ...]:
    """Return the known checkpoints that are gone although fewer than `keep_last` newer ones are left: not pruned."""
    return tuple(name for name in known if name not in left and sum(newer > name for newer in left) < keep_last)


def _said(directory: Path, lost: Sequence[str], step: int) -> str:
    names = lost[-1] if len(lost) == 1 else f"{len(lost)} checkpoints up to {lost[-1]}"
    return (
        f"{names} {'was' if len(lost) == 1 else 'were'} deleted from {directory} while the run trained; "
        f"step {step} goes on, and is saved there next"
    )
