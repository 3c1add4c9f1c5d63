"""Textual's compositor with updates whose cost depends on the changed regions only."""

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
    from rich.console import Console, RenderableType
    from textual.screen import Screen


TESTED_VERSIONS: Final = ("8.2.0", "8.2.1", "8.2.2", "8.2.3", "8.2.4", "8.2.5", "8.2.6", "8.2.7", "8.2.8")
"""Versions of Textual that the frugal compositor was tested with, as it depends on internals."""


class PlacedUpdate(ChopsUpdate):
    """An update without line feeds, as each of its pieces is placed.

    Sixel pictures have lines without a piece. With several next to each other, so many line feeds followed each other
    that the screen scrolled.
    """

    def render_segments(self, console: Console) -> str:
        """Return the text to write."""
        return super().render_segments(console).replace("\n", "")


class FrugalCompositor(OpenCompositor):
    """Compositor that renders only widgets and lines in changed regions.

    Textual's own renders all lines of every visible widget at every update, hidden containers included. That is many
    times the work if one chart of six has changed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_held = False
        """Whether updates are suppressed, so that the terminal keeps its present content."""
        self._changed: tuple[Region, ...] | None = None

    def render_update(
        self, full: bool = False, screen_stack: list[Screen[Any]] | None = None, simplify: bool = False
    ) -> RenderableType | None:
        """Return the update to write; `None` without changes, or while held, unless `full` is set."""
        if self.is_held and not full:
            return None
        return super().render_update(full, screen_stack, simplify)

    def render_partial_update(self) -> ChopsUpdate | None:
        """Return the update of the regions refreshed since the last one; `None` for none."""
        self._changed = _outermost(self.dirty_regions)
        try:
            update = super().render_partial_update()
        finally:
            self._changed = None
        return None if update is None else PlacedUpdate(update.chops, update.spans, update.chop_ends)

    def renders(self, crop: Region | None) -> Iterable[tuple[Region, Region, list[Strip]]]:
        """Yield the changed lines only."""
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
    """Install the frugal compositor on `screen` and return it; return `None` on an untested version."""
    if installed_version() not in TESTED_VERSIONS:
        return None
    compositor = FrugalCompositor()
    set_compositor(screen, compositor)
    return compositor


def hold_back(compositor: FrugalCompositor | None, is_held: bool) -> None:
    """Suppress updates, or allow them; without the frugal compositor, partial pictures are shown."""
    if compositor is not None:
        compositor.is_held = is_held


def _outermost(regions: Iterable[Region]) -> tuple[Region, ...]:
    """Return the regions that lie in no other region."""
    kept: list[Region] = []
    for region in sorted(regions, key=lambda region: region.area, reverse=True):
        if not any(other.contains_region(region) for other in kept):
            kept.append(region)
    return tuple(kept)


def _uncovered(parts: list[Region], covers: list[Region]) -> Region | None:
    """Return the smallest region around the parts that `covers` leave visible; `None` for none.

    Every cell of a widget is opaque and widgets come front to back, so covered parts need no drawing.
    """
    for cover in covers:
        if not parts:
            return None
        if any(cover.overlaps(part) for part in parts):
            parts = [piece for part in parts for piece in _without(part, cover)]
    return Region.from_union(parts) if parts else None


def _without(part: Region, cover: Region) -> Iterable[Region]:
    """Yield the rest of `part` in up to four pieces: above, below, left and right of `cover`."""
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
