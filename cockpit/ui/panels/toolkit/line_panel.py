"""Panels of text lines that are laid out for each width."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import ClassVar

from textual import events
from textual.content import Content
from textual.geometry import Region, Size
from textual.strip import Strip

from cockpit.session.outbox import Pending
from cockpit.session.session import Session
from cockpit.session.update import SessionUpdate
from cockpit.ui.panels.toolkit.line_parts import cut
from cockpit.ui.panels.toolkit.panel import Ask, JumpTo, Panel
from cockpit.ui.panels.toolkit.strip_cache import StripCache
from cockpit.ui.panels.toolkit.symbols import signs_for
from engine.journal.reader import Entry


def since(entries: Sequence[Entry], last_id: int) -> list[Entry]:
    """Return the entries numbered above `last_id`, oldest first; all of them for another journal."""
    if entries and entries[-1].id < last_id:
        return list(entries)
    return [*takewhile(lambda entry: entry.id > last_id, reversed(entries))][::-1]


def _changed(then: Sequence[Content], now: Sequence[Content]) -> Iterable[int]:
    """Yield the numbers of the lines that differ in text or style."""
    return (y for y, (one, other) in enumerate(zip(then, now, strict=True)) if not one.is_same(other))


class LinePanel(Panel):
    """A panel as tall as its lines. `marker` 'ascii' selects characters that every font has.

    Only changed lines are painted again.
    """

    ALLOW_SELECT = False

    SLOW_SECONDS: ClassVar[float] = 0.25
    """Interval for changes of numbers only: laying out a table takes time from the training."""
    DEFAULT_CSS = """
    LinePanel {
        height: auto;
        text-wrap: nowrap;
        text-overflow: ellipsis;
    }
    """

    def __init__(self, *, marker: str = "braille", id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.signs = signs_for(marker)
        self.set_class(marker == "ascii", "-ascii")
        self._laid_out: dict[int, list[Content]] = {}
        self._strips = StripCache()
        self._pending: tuple[Pending, ...] = ()
        self._painted_at = -math.inf
        self._is_late = False

    def lines(self, width: int) -> list[Content]:
        """Return the content in lines of at most `width` cells."""
        raise NotImplementedError

    def repaint_for(self, session: Session, update: SessionUpdate) -> None:
        """Paint events and pending commands immediately, changed numbers `SLOW_SECONDS` after the last time."""
        urgent = bool(update.entries or update.answers or update.rewound or session.pending != self._pending)
        self._pending = session.pending
        left = self._painted_at + self.SLOW_SECONDS - time.monotonic()
        if urgent or left <= 0:
            self.repaint()
        elif not self._is_late:
            self._is_late = True
            self.set_timer(left, self.repaint)

    def repaint(self) -> None:
        """Lay out again and paint the changed lines; request another height if their number changed."""
        self._painted_at, self._is_late = time.monotonic(), False
        before = self._laid_out
        self._laid_out = {}
        # A hidden panel has no size: lay out for the width it had, as it will probably have it again.
        widths = [self._width()] if self.size else list(before)
        pairs = [(before.get(width), self._lines_at(width)) for width in widths]
        if not pairs or any(then is None or len(then) != len(now) for then, now in pairs):
            self.refresh(layout=True)
        elif changed := {y for then, now in pairs for y in _changed(then or [], now)}:
            self.refresh(*(Region(0, y, max(widths), 1) for y in changed))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return the number of lines at that width."""
        return len(self._lines_at(max(width, 1)))

    def render(self) -> Content:
        """Return the lines, cut to the width."""
        return Content("\n").join(self._lines_at(self._width()))

    def render_line(self, y: int) -> Strip:
        """Return one of the lines; blank below the last one."""
        width, style = self._width(), self.visual_style
        lines = self._lines_at(width)
        if y >= len(lines):
            return Strip.blank(width, style.rich_style)
        return self._strips.strip(self, y, lines[y], style, width)

    def _lines_at(self, width: int) -> list[Content]:
        """Return the lines as of the last update."""
        if width not in self._laid_out:
            self._laid_out[width] = [cut(line, width) for line in self.lines(width)]
        return self._laid_out[width]

    def _width(self) -> int:
        return max(self.content_size.width, 1)

    def on_click(self, event: events.Click) -> None:
        """Run the action of a clicked link, or move the charts' cursor to a clicked step."""
        meta = event.style.meta
        if "ask" in meta:
            event.stop()
            self.post_message(Ask(meta["ask"], meta.get("argument", "")))
        elif "jump" in meta:
            event.stop()
            self.post_message(JumpTo(meta["jump"]))


class TitledLinePanel(LinePanel):
    """Lines under a rule with the panel's title, for panels in a column."""

    DEFAULT_CSS = """
    TitledLinePanel {
        border-top: solid $foreground 22%;
        border-title-color: $foreground;
        border-title-style: bold;

        &.-ascii { border-top: ascii $foreground 22%; }
    }
    """

    def on_mount(self) -> None:
        """Set the title."""
        self.border_title = f" {self.TITLE} "
