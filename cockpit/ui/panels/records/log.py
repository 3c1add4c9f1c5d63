"""The log panel: the program's output and warnings from console.log."""

from __future__ import annotations

import re
from typing import ClassVar, Final

from textual.binding import Binding, BindingType
from textual.content import Content

from cockpit.session.session import Session
from cockpit.session.update import SessionUpdate
from cockpit.text.format import counted
from cockpit.ui.panels.records.log_tail import LogTail
from cockpit.ui.panels.toolkit.search_panel import SearchedList
from cockpit.ui.panels.toolkit.symbols import BAD, WARN
from engine.journal.disk.run_dir import CONSOLE_LOG

_SECONDS_BETWEEN_LOOKS: Final = 0.5
_BAD: Final = re.compile(r"\b(error|critical|fatal|exception|traceback)\b", re.IGNORECASE)
_WARNING: Final = re.compile(r"warn", re.IGNORECASE)


class LogPanel(SearchedList):
    """All lines of the log; a search jumps between hits, the newest first."""

    TITLE: ClassVar[str] = "Log"
    HELP = (
        "The program's output. / searches, enter goes to the next older hit, escape removes the search; end "
        "follows the newest line."
    )
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "next_hit", show=False)]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(cursor=False, id=id)
        self._tail: LogTail | None = None
        self._sought = ""
        self._hit = -1

    def on_mount(self) -> None:
        """Read the file at intervals while the panel is visible, as it changes without the journal."""
        self.set_interval(_SECONDS_BETWEEN_LOOKS, self._look)

    def apply_update(self, session: Session, update: SessionUpdate) -> None:
        """Read the file of this run."""
        if self._tail is None or self._tail.path.parent != session.run_dir:
            self._tail = LogTail(session.run_dir / CONSOLE_LOG)
            self._say()
        self._read()

    def _look(self) -> None:
        if self.is_on_screen:
            self._read()

    def _read(self) -> None:
        if self._tail is None:
            return
        dropped = self._tail.num_dropped
        if self._tail.read() or self.listing.count != len(self._tail.lines):
            widest = max((len(line) for line in self._tail.lines), default=0)
            gone = max(self._tail.num_dropped - dropped, 0)
            self.listing.show(len(self._tail.lines), width=widest, shifted=gone)
            self._say()

    def _say(self) -> None:
        """Show the number of lines and of hits."""
        assert self._tail is not None
        hits = f", {counted(len(self._hits()), 'hit')}" if self._sought else ""
        self.status.update(self._tail.notice or f"{counted(len(self._tail.lines), 'line')}{hits}")

    def line(self, index: int) -> Content:
        """Return a line with errors and warnings coloured and the first hit reversed."""
        assert self._tail is not None
        text = self._tail.lines[index]
        style = BAD if _BAD.search(text) else WARN if _WARNING.search(text) else ""
        at = text.lower().find(self._sought) if self._sought else -1
        content = Content.styled(text, style)
        return content if at < 0 else content.stylize("reverse", at, at + len(self._sought))

    def seek(self, text: str) -> None:
        """Jump to the newest line that contains `text`."""
        self._sought, self._hit = text.lower(), -1
        self._go_to_older_hit()
        self.listing.refresh()
        if self._tail is not None:
            self._say()

    def _hits(self) -> list[int]:
        lines = self._tail.lines if self._tail is not None else ()
        return [number for number, line in enumerate(lines) if self._sought in line.lower()]

    def action_next_hit(self) -> None:
        """Jump to the next older hit, from the last to the first; notify if there is none."""
        if not self._go_to_older_hit():
            self.notify("nothing is found" if self._sought else "/ searches, enter goes from hit to hit", markup=False)

    def _go_to_older_hit(self) -> bool:
        hits = self._hits() if self._sought else []
        if hits:
            older = [hit for hit in hits if self._hit < 0 or hit < self._hit]
            self._hit = (older or hits)[-1]
            self.listing.go_to(self._hit)
        return bool(hits)
