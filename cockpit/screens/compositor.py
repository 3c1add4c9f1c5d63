"""Textual's compositor, with the work of an update bounded by what has changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from textual._compositor import ChopsUpdate, Compositor
from textual.geometry import Region
from textual.messages import Layout
from textual.strip import Strip

if TYPE_CHECKING:
    from rich.console import RenderableType
    from textual.screen import Screen


class MeasuresAgain:
    """For a screen: a widget that asks for a layout is measured again, before Textual lays out.

    Textual keeps a size that it measured between a first and a second change of a widget's content. Stands before the
    screen's own base, and is none itself: Textual takes a widget's style from its first base alone.
    """

    def on_layout(self, message: Layout) -> None:
        """Make what was measured of the widget count as old."""
        message.widget._layout_updates += 1  # pyright: ignore[reportPrivateUsage]


class FrugalCompositor(Compositor):
    """Asks only widgets that have changed, or lie where something has, for lines, and only for the lines in question.

    Textual's own (8.2.8, which is pinned) asks every visible widget for all of its lines at every update, containers
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
        self._changed = _outermost(self._dirty_regions)
        try:
            return super().render_partial_update()
        finally:
            self._changed = None

    def _get_renders(self, crop: Region | None = None) -> Iterable[tuple[Region, Region, list[Strip]]]:
        changed = (crop or self.size.region,) if self._changed is None else self._changed
        drawn: list[Region] = []
        for widget, (region, clip) in self.visible_widgets.items():
            seen = region.intersection(clip)
            parts = [part.intersection(seen) for part in changed if part.overlaps(seen)]
            if left := _uncovered(parts, drawn):
                rows = Region(seen.x, left.y, seen.width, left.height)
                yield rows, rows, widget.render_lines(rows.translate((-region.x, -region.y)))
                drawn.append(rows)


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
