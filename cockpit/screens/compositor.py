"""Textual's compositor, with the work of an update bounded by what has changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from textual._compositor import ChopsUpdate, Compositor
from textual.geometry import Region
from textual.strip import Strip

if TYPE_CHECKING:
    from rich.console import RenderableType
    from textual.screen import Screen


class FrugalCompositor(Compositor):
    """Asks only widgets that have changed, or lie where something has, for lines, and only for the lines in question.

    Textual's own (8.2.8, which is pinned) asks every visible widget for all of its lines at every update, many times
    the work where one chart among six has changed.
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
        self._changed = tuple(self._dirty_regions)
        try:
            return super().render_partial_update()
        finally:
            self._changed = None

    def _get_renders(self, crop: Region | None = None) -> Iterable[tuple[Region, Region, list[Strip]]]:
        if crop is None or self._changed is None:
            yield from super()._get_renders(crop)
            return
        for widget, (region, clip) in self.visible_widgets.items():
            seen = region.intersection(clip)
            if not seen.overlaps(crop):
                continue
            changed = [part for part in self._changed if part.overlaps(seen)]
            if changed:
                part = Region.from_union(changed).intersection(seen)
                rows = Region(seen.x, part.y, seen.width, part.height)
                yield rows, rows, widget.render_lines(rows.translate((-region.x, -region.y)))
