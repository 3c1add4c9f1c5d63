"""What keys do to the view that all charts share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cockpit.charts.view import ZOOM, Extent, View

_PAN: Final = 0.25

Move = Callable[[View, Extent, int], View]
"""From a view, the run's extent and the plots' width in cells to the next view."""

MOVES: Final[dict[str, Move]] = {
    "cursor_left": lambda view, extent, width: view.moved(extent, -1, of=width),
    "cursor_right": lambda view, extent, width: view.moved(extent, 1, of=width),
    "cursor_first": lambda view, extent, _: view.first_shown(extent),
    "cursor_last": lambda view, extent, _: view.last_shown(extent),
    "zoom_in": lambda view, extent, _: view.zoomed(extent, ZOOM),
    "zoom_out": lambda view, extent, _: view.zoomed(extent, 1 / ZOOM),
    "pan_left": lambda view, extent, _: view.panned(extent, -_PAN),
    "pan_right": lambda view, extent, _: view.panned(extent, _PAN),
    "whole_run": lambda view, _, __: view.whole(),
    "follow": lambda view, extent, _: view.followed(extent),
    "clear_cursor": lambda view, extent, _: view.at(extent, None),
}
"""One move per action of the key table that concerns the view."""
