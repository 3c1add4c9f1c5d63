"""Looks at a journal that failed, in words for a screen; what a library said of them goes to the log, once each."""

from __future__ import annotations

import logging
from typing import Final

from engine.errors import UserError

_LOG: Final = logging.getLogger(__name__)


class Troubles:
    """What went wrong in one look at a journal."""

    def __init__(self) -> None:
        self.found: list[str] = []
        """In plain words, the first one first."""
        self.detail = ""
        """The first one as a library said it, with the file and the mend; empty string without one."""
        self._logged: set[str] = set()

    def clear(self) -> None:
        """Begin a look."""
        self.found.clear()
        self.detail = ""

    def add(self, error: UserError) -> None:
        """Add a failed read. An error without a cause is a complete sentence."""
        if error.__cause__ is None:
            self.found.append(str(error))
            self.detail = self.detail or str(error)
        else:
            self.add_plain("the journal cannot be read, trying again", detail=str(error))

    def add_plain(self, said: str, *, detail: str) -> None:
        """Something went wrong that `said` tells a person, and `detail` who reads the log."""
        self.found.append(said)
        self.detail = self.detail or detail
        if detail not in self._logged:
            self._logged.add(detail)
            _LOG.warning("%s", detail)
