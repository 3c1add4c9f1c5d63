"""The curves of a run that is only compared with: its history, and epoch and time of its steps."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final

from cockpit.session.history.history import History
from cockpit.session.history.loader import HistoryLoader
from cockpit.session.history.progress import StepProgress
from engine.errors import UserError
from engine.journal.reader import JournalReader
from engine.journal.tail import JournalTail

_BUSY_SECONDS: Final = 0.05


class OtherRun:
    """The run in `run_dir`: a live one is followed, one at rest is read without a trace in its directory.

    `progress` is empty until it is refreshed. Raises UserError if there is no journal that can be read.
    """

    def __init__(self, run_dir: Path) -> None:
        with closing(JournalReader(run_dir, at_rest=True)) as reader:
            self.is_live = reader.is_alive()
        open_tail = partial(JournalTail, run_dir, busy_seconds=_BUSY_SECONDS, at_rest=not self.is_live)
        self.run_dir = run_dir
        self.name = run_dir.name
        self.history = History()
        self.progress = StepProgress(open_tail)
        self._loader = HistoryLoader(self.history, open_tail)
        self._tail = open_tail()
        self._version = -1
        self._failure = ""

    def poll(self) -> None:
        """Read what is new; a journal that cannot be read now leaves what was known."""
        try:
            self._look()
            self._failure = ""
        except UserError as error:
            self._failure = "" if self.is_live else str(error)  # of a live run the next look may succeed

    def _look(self) -> None:
        version = self._tail.version()
        if version == self._version and not self._loader.behind:
            return
        with self._tail.snapshot():
            self._loader.look(self._tail)
        self._version = version

    @property
    def failure(self) -> str:
        """Why the rows could not be read; an empty string if they could."""
        return self._failure or self._loader.failure

    def is_loading(self) -> bool:
        """Return whether rows that the journal had at the last look are not read yet."""
        return not self.failure and (self.history.loading < 1 or self._loader.behind)

    def close(self) -> None:
        """Stop reading and close the journal."""
        self._loader.close()
        self._tail.close()
