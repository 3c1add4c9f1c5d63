"""Faults of panels: which panel failed, how often, and which panel to switch off."""

from __future__ import annotations

import traceback
from typing import Final

from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget

from cockpit.ui.panels.toolkit.panel import Panel

PATIENCE: Final = 3
"""Failed updates in a row after which a panel is switched off."""


class PanelFailed(Message):
    """A panel failed to update; its content may be outdated."""

    def __init__(self, panel: Panel, error: Exception) -> None:
        self.panel = panel
        self.error = error
        super().__init__()


def culprit(error: BaseException) -> Widget | None:
    """Return the innermost widget of the traceback that is no screen; without one the screen, or `None`."""
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
    """Return the outermost panel that contains `widget` or is it; `None` for none."""
    if widget is None:
        return None
    return next((node for node in reversed(widget.ancestors_with_self) if isinstance(node, Panel)), None)


def told(error: BaseException) -> str:
    """Return an exception in one line: type and message."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


class Faults:
    """Counts the failed updates of each panel."""

    def __init__(self) -> None:
        self._in_take: dict[Panel, int] = {}

    def part_to_switch_off(self, error: BaseException, panel: Panel | None) -> Panel | None:
        """Return the panel to switch off after `error`; `None` to keep all.

        A `panel` that failed to update may try again a few times. Without `panel` the error came from drawing or a
        message: Textual handles no further message of that widget, so its panel is switched off.
        """
        if panel is None:
            return panel_of(culprit(error))
        self._in_take[panel] = count = self._in_take.get(panel, 0) + 1
        return panel if count >= PATIENCE else None
