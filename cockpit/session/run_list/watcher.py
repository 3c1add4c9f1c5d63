"""A thread that keeps a list of runs up to date: the rows on the screen first, then the others, then what changes."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import field
from itertools import islice
from typing import Final, TypeAlias

from cockpit.session.run_list.catalogue import RunCatalogue
from cockpit.session.run_list.listed_run import ListedRun
from engine.errors import UserError
from engine.protocol.record import record

Identity: TypeAlias = tuple[int, ...]
"""Inode and time of a directory; empty if there is none."""

FIRST_ROWS: Final = 60
"""Rows of the latest runs that are read before the list says which ones it shows."""

_BATCH: Final = 10
_REFRESH_SECONDS: Final = 1.0
_SCAN_SECONDS: Final = 10.0
"""How often runs are looked at that no process wrote; a new or renamed run changes the directory itself."""

_LOG: Final = logging.getLogger(__name__)


@record
class RunListing:
    """The list at one moment. `unread` rows have no facts yet; `trouble` is why the directory cannot be listed."""

    number: int = 0
    rows: Mapping[str, ListedRun] = field(default_factory=dict[str, ListedRun])
    unread: int = 0
    trouble: str = ""


class RunWatcher:
    """Updates `catalogue` in a thread of its own; the newest `listing` may be taken from any thread."""

    def __init__(self, catalogue: RunCatalogue) -> None:
        self.listing = RunListing()
        self._catalogue = catalogue
        self._preferred: Sequence[str] = ()
        self._is_closed = False
        self._wake = threading.Event()
        self._scanned_at = -math.inf
        self._directory: Identity = ()
        self._thread = threading.Thread(target=self._work, name="run-list", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def prefer(self, names: Sequence[str]) -> None:
        """Read these runs before others: they are on the screen."""
        self._preferred = names

    def look_now(self) -> None:
        """Look at the directory again without waiting: a run was renamed, deleted or labelled."""
        self._scanned_at = -math.inf
        self._wake.set()

    def close(self) -> None:
        """End the thread, after it has saved the index."""
        self._is_closed = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def update(self) -> None:
        """Do all that is due now. For the thread, and for tests."""
        is_changed, trouble = self._scan() if self._is_due() else (False, self.listing.trouble)
        is_first = not self.listing.number
        if is_first:
            self._preferred = self._preferred or tuple(islice(self._catalogue.unread, FIRST_ROWS))
        if is_changed or is_first or trouble != self.listing.trouble:
            self._publish(trouble)
        self._read_all(trouble)
        if self._catalogue.refresh():
            self._publish(trouble)
        self._catalogue.save()

    def _is_due(self) -> bool:
        """Return whether the directory has changed, or was not looked at for a while."""
        try:
            found = os.stat(self._catalogue.runs_dir)
            directory: Identity = (found.st_ino, found.st_mtime_ns)
        except OSError:
            directory = ()
        has_changed = directory != self._directory
        self._directory = directory
        return has_changed or time.monotonic() - self._scanned_at >= _SCAN_SECONDS

    def _scan(self) -> tuple[bool, str]:
        """Return whether there are other runs than before, and why the directory cannot be listed."""
        self._scanned_at = time.monotonic()
        try:
            return self._catalogue.scan(), ""
        except UserError as error:
            return False, str(error)

    def _read_all(self, trouble: str) -> None:
        """Read the unread runs in batches; the list is published after each."""
        while (unread := self._catalogue.unread) and not self._is_closed:
            wanted = [name for name in self._preferred if name in unread]
            self._catalogue.read(wanted[:_BATCH] or tuple(islice(unread, _BATCH)))
            if len(wanted) <= _BATCH:
                self._publish(trouble)

    def _publish(self, trouble: str) -> None:
        catalogue = self._catalogue
        self.listing = RunListing(self.listing.number + 1, dict(catalogue.rows), len(catalogue.unread), trouble)

    def _work(self) -> None:
        while not self._is_closed:
            try:
                self.update()
            except Exception as error:  # a list that is never read again would look like one without changes
                _LOG.error("a fault in the list of runs: %s", error, exc_info=error)
                self._publish(f"the list cannot be read: {type(error).__name__}: {error}")
            self._wake.wait(_REFRESH_SECONDS)
            self._wake.clear()
