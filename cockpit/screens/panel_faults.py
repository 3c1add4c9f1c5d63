"""A fault in a part of the screen: which part it was, how often, and what is left of the screen without it."""

from __future__ import annotations

import traceback
from typing import Final

from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget

from cockpit.panels.toolkit.panel import Panel

PATIENCE: Final = 3
"""How often in a row a panel may fail to take update before it is switched off."""


class PanelFailed(Message):
    """A panel could not take update; what is on the screen of it may be old."""

    def __init__(self, panel: Panel, error: Exception) -> None:
        self.panel = panel
        self.error = error
        super().__init__()


def culprit(error: BaseException) -> Widget | None:
    """The widget in whose code `error` was raised: the innermost one of the traceback that is no screen, else the
    screen."""
    screen: Widget | None = None
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    for frame in reversed(frames):
        owner = frame.f_locals.get("self")
        if isinstance(owner, Screen):
            screen = screen or owner  # pyright: ignore[reportUnknownVariableType]
        elif isinstance(owner, Widget):
            return owner
    return screen  # pyright: ignore[reportUnknownVariableType]


def panel_of(widget: Widget | None) -> Panel | None:
    """The outermost panel around `widget`, itself included; None where there is none."""
    if widget is None:
        return None
    return next((node for node in reversed(widget.ancestors_with_self) if isinstance(node, Panel)), None)


def told(error: BaseException) -> str:
    """An exception in one line: its kind and what it says."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


class Faults:
    """Which panel has failed how often in taking update."""

    def __init__(self) -> None:
        self._in_take: dict[Panel, int] = {}

    def part_to_switch_off(self, error: BaseException, panel: Panel | None) -> Panel | None:
        """The panel to switch off after `error`; None where the screen goes on as it is.

        `panel` could not take update and gets some more chances. Without it the error came out of drawing or of a
        message: Textual handles no further message of that widget, so that its panel is of no more use.
        """
        if panel is None:
            return panel_of(culprit(error))
        self._in_take[panel] = count = self._in_take.get(panel, 0) + 1
        return panel if count >= PATIENCE else None
