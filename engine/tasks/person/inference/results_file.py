"""The file of a prediction's results."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO


class ResultsFile:
    """The JSON list of results, written image by image to a temporary file that is renamed at the end."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
        self._opened: TextIO | None = self._partial.open("w", encoding="utf-8")
        self._is_empty = True

    def add(self, entries: Sequence[dict[str, Any]]) -> None:
        """Append entries, one per line."""
        assert self._opened is not None
        for entry in entries:
            self._opened.write(("[\n" if self._is_empty else ",\n") + json.dumps(entry))
            self._is_empty = False

    def finish(self) -> Path:
        """Complete and rename the file."""
        assert self._opened is not None
        self._opened.write("[]\n" if self._is_empty else "\n]\n")
        self._opened.close()
        self._opened = None
        self._partial.replace(self._file)
        return self._file

    def cancel(self) -> None:
        """Remove the temporary file; do nothing after `finish`."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None
            self._partial.unlink(missing_ok=True)
