"""A stage for one panel: an app with only that panel. It passes updates to it and records its requests."""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.widget import Widget

from cockpit.preferences.themes import DARK, THEMES
from cockpit.session.session import Session
from cockpit.session.update import FULL_UPDATE, SessionUpdate
from cockpit.ui.panels.toolkit.panel import Ask, JumpTo, Panel


class Stage(App[None]):
    """Shows `panel` on `session`."""

    def __init__(self, panel: Panel, session: Session) -> None:
        super().__init__()
        self.panel, self.session = panel, session
        self.asked: list[tuple[str, str]] = []
        self.jumped: list[int] = []
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = DARK

    def compose(self) -> ComposeResult:
        yield self.panel

    def on_mount(self) -> None:
        self.look()

    def look(self) -> SessionUpdate:
        """One look at the journal, handed to the panel."""
        update = self.session.poll()
        self.panel.apply_update(self.session, update or FULL_UPDATE)
        return update

    def on_ask(self, message: Ask) -> None:
        self.asked.append((message.action, message.argument))

    def on_jump_to(self, message: JumpTo) -> None:
        self.jumped.append(message.step)

    @property
    def shown(self) -> str:
        """Every character on the screen, a line for each row, blanks at the ends left out."""
        return text_of(self.screen)

    def segments(self) -> list[Segment]:
        """Every piece of the screen with its style."""
        return [segment for row in rows_of(self.screen) for segment in row]

    def find(self, text: str) -> tuple[int, int]:
        """Return the column and row of `text`."""
        for row, line in enumerate(self.shown.splitlines()):
            if text in line:
                return line.index(text), row
        raise AssertionError(f"{text!r} is not on the screen:\n{self.shown}")


def rows_of(widget: Widget) -> Sequence[list[Segment]]:
    """The screen's rows as they go to the terminal."""
    return [list(strip) for strip in widget.screen._compositor.render_strips(widget.app.size)]


def text_of(widget: Widget) -> str:
    """The screen as text."""
    return "\n".join("".join(segment.text for segment in row).rstrip() for row in rows_of(widget))


def cropped(shown: str, region: Region) -> str:
    """Return the part of the screen's text inside `region`."""
    return "\n".join(line[region.x : region.right] for line in shown.splitlines()[region.y : region.bottom])
