"""Textual's compositor, with the work of an update bounded by what has changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from textual.geometry import Region
from textual.strip import Strip

from cockpit.terminal.textual_private import (
    ChopsUpdate,
    OpenCompositor,
    installed_version,
    set_compositor,
)

if TYPE_CHECKING:
    from rich.console import RenderableType
    from textual.screen import Screen


TESTED_VERSIONS: Final = ("8.2.0", "8.2.1", "8.2.2", "8.2.3", "8.2.4", "8.2.5", "8.2.6", "8.2.7", "8.2.8")
"""The versions of Textual that the frugal compositor was tested with: it depends on how theirs works inside."""


class FrugalCompositor(OpenCompositor):
    """Asks only widgets that have changed, or lie where something has, for lines, and only for the lines in question.

    Textual's own asks every visible widget for all of its lines at every update, containers
    that are hidden behind their contents too: many times the work where one chart among six has changed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_held = False
        """Nothing is put together: what stands on the terminal stays there until there is something to show."""
        self._changed: tuple[Region, ...] | None = None

    def render_update(
        self, full: bool = False, screen_stack: list[Screen[Any]] | None = None, simplify: bool = False
    ) -> RenderableType | None:
        """What to write now; None where nothing is new, and while it is held, unless everything is asked for."""
        if self.is_held and not full:
            return None
        return super().render_update(full, screen_stack, simplify)

    def render_partial_update(self) -> ChopsUpdate | None:
        """What to write for the regions that were refreshed since the last update; None where there are none."""
        self._changed = _outermost(self.dirty_regions)
        try:
            return super().render_partial_update()
        finally:
            self._changed = None

    def renders(self, crop: Region | None) -> Iterable[tuple[Region, Region, list[Strip]]]:
        """Return the lines that have changed, and no others."""
        changed = (crop or self.size.region,) if self._changed is None else self._changed
        drawn: list[Region] = []
        for widget, (region, clip) in self.visible_widgets.items():
            seen = region.intersection(clip)
            parts = [part.intersection(seen) for part in changed if part.overlaps(seen)]
            if left := _uncovered(parts, drawn):
                rows = Region(seen.x, left.y, seen.width, left.height)
                yield rows, rows, widget.render_lines(rows.translate((-region.x, -region.y)))
                drawn.append(rows)


def install_compositor(screen: Screen[Any]) -> FrugalCompositor | None:
    """Give `screen` the frugal compositor; leave it Textual's own and return None on a version that was not tested."""
    if installed_version() not in TESTED_VERSIONS:
        return None
    compositor = FrugalCompositor()
    set_compositor(screen, compositor)
    return compositor


def hold_back(compositor: FrugalCompositor | None, is_held: bool) -> None:
    """Keep an incomplete picture back, or no longer; without the frugal compositor the parts are shown as they come."""
    if compositor is not None:
        compositor.is_held = is_held


def _outermost(regions: Iterable[Region]) -> tuple[Region, ...]:
    """The regions that lie in no other: a tab that comes and all that is in it change together."""
    kept: list[Region] = []
    for region in sorted(regions, key=lambda region: region.area, reverse=True):
        if not any(other.contains_region(region) for other in kept):
            kept.append(region)
    return tuple(kept)


def _uncovered(parts: list[Region], covers: list[Region]) -> Region | None:
    """The smallest region around what `covers` leave of `parts`; None where they leave nothing.

    Every cell of a widget is opaque, and widgets come from front to back: what lies behind one need not be drawn.
    """
    for cover in covers:
        if not parts:
            return None
        if any(cover.overlaps(part) for part in parts):
            parts = [piece for part in parts for piece in _without(part, cover)]
    return Region.from_union(parts) if parts else None


def _without(part: Region, cover: Region) -> Iterable[Region]:
    """What is left of `part`, in up to four pieces: above, below, left and right of `cover`."""
    common = part.intersection(cover)
    if not common:
        yield part
        return
    if common.y > part.y:
        yield Region(part.x, part.y, part.width, common.y - part.y)
    if common.bottom < part.bottom:
        yield Region(part.x, common.bottom, part.width, part.bottom - common.bottom)
    if common.x > part.x:
        yield Region(part.x, common.y, common.x - part.x, common.height)
    if common.right < part.right:
        yield Region(common.right, common.y, part.right - common.right, common.height)
