"""A run's directory while it trains: what was deleted from it is said, and made again as far as it can be."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Final

from engine.actions import Actions
from engine.checkpoint import list_checkpoints
from engine.errors import UserError
from engine.journal.files import Identity, identity_of
from engine.journal.lock import Lock
from engine.launch import save_config
from engine.ledger import VANISHED
from engine.protocol.events import AlertRaised
from engine.runs import CONFIG_FILE, LOCK_FILE, lock_run

_SECONDS: Final = 0.5
"""How often the directory is looked at."""


class Upkeep:
    """Keeps the directory of the run that `actions` belongs to; asked by the engine at every step boundary.

    The journal's thread puts its own files back. A disk that refuses is tried again at the next look.
    """

    def __init__(self, actions: Actions) -> None:
        self._actions = actions
        self._ledger = actions.ledger
        self._directory = actions.directory.parent
        self._lock: Lock | None = None
        self._checkpoints: Identity | None = None
        self._due = 0.0

    def look(self) -> None:
        """Look about twice a second; microseconds otherwise."""
        self._ledger.watch_losses()
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
            save_config(self._directory, self._actions.config)
        if not (self._directory / LOCK_FILE).exists():
            with suppress(UserError):  # another process was faster: it cannot have the journal, which is locked too
                self.close()
                self._lock = lock_run(self._directory)

    def _keep_checkpoints(self) -> None:
        """Checkpoints that were deleted are no longer offered, and a new one is written now."""
        state, directory = self._ledger.state, self._actions.directory
        former, self._checkpoints = self._checkpoints, identity_of(directory) or self._checkpoints
        left = list_checkpoints(directory)
        if not state.checkpoints or (left and former in (None, self._checkpoints)):
            return
        self._checkpoints = None  # whichever directory comes now is the right one
        self._ledger.observe(checkpoints=tuple(path.name for path in left), good_checkpoint="")
        self._ledger.note(
            AlertRaised(
                VANISHED,
                f"the checkpoints in {directory}, up to {state.checkpoints[-1]}, were deleted while the run trained; "
                f"step {state.step} is saved there now",
            )
        )
        self._actions.checkpoint("step")
