"""Pictures in real pixels, drawn by textual-image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image
from textual.containers import Grid, Vertical
from textual.widget import Widget
from textual.widgets import Static

from cockpit.ui.panels.preview.half_blocks import Grid as PictureGrid
from cockpit.ui.panels.preview.half_blocks import captions, grid_for, shown_in, strip_grid
from cockpit.ui.panels.preview.layers import Layer


class GraphicPictures(Grid):
    """Layers next to each other, as many as fit, each under its name. `load` returns textual-image's widget class."""

    DEFAULT_CSS = """
    GraphicPictures {
        height: 1fr;
        grid-gutter: 0 2;

        & Vertical { height: auto; width: auto; }
        & Static { height: 1; width: auto; }
    }
    """

    def __init__(self, load: Callable[[], type[Widget]], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._load = load
        self._layers: Sequence[Layer] = ()
        self._is_strip = False
        self._class: type[Widget] | None = None
        self._drawn: list[Any] = []
        self._is_stale = self._is_building = False

    def show(self, layers: Sequence[Layer], *, strip: bool = False) -> None:
        """Draw these layers; of a strip that does not fit, some from its beginning to its end."""
        self._layers, self._is_strip = layers, strip
        self._rebuild()

    def on_resize(self) -> None:
        """Lay out for the new size."""
        self._rebuild()

    def _rebuild(self) -> None:
        """Build the widgets of the newest layers, after those that are being built.

        A build is never cancelled: with the removal of widgets, the whole app would be.
        """
        self._is_stale = True
        if self.is_attached and not self._is_building:
            self._is_building = True
            self.run_worker(self._build())

    async def _build(self) -> None:
        try:
            while self._is_stale:
                self._is_stale = False
                await self._replace()
        finally:
            self._is_building = False

    async def _replace(self) -> None:
        """Replace the widgets by those of the newest layers."""
        layers, size = self._layers, self.size
        self._forget()
        await self.remove_children()
        if not layers or not size.area:
            return
        pixels = layers[0].picture_HWC.shape
        layout = strip_grid if self._is_strip else grid_for
        grid = layout(len(layers), size.width, size.height, pixels[0] / pixels[1])
        self.styles.grid_size_columns = grid.across
        self.styles.grid_size_rows = grid.down
        shown = shown_in(grid, layers, strip=self._is_strip)
        names = captions(grid, layers, shown, "…")
        cells = [self._cell(layer, name, grid) for layer, name in zip(shown, names, strict=True)]
        await self.mount_all(cells)

    def on_unmount(self) -> None:
        """Delete the pictures from the terminal."""
        self._forget()

    def _forget(self) -> None:
        """Delete the pictures of all widgets from the terminal, which would keep them after the widgets."""
        for picture in self._drawn:
            picture.image = None
        self._drawn.clear()

    def _cell(self, layer: Layer, name: str, grid: PictureGrid) -> Widget:
        picture: Any = self._image_class()()  # textual-image's classes take their picture as an attribute
        picture.image = Image.fromarray(layer.picture_HWC)
        self._drawn.append(picture)
        picture.styles.width, picture.styles.height = grid.width, grid.height
        return Vertical(Static(name, markup=False), picture)

    def _image_class(self) -> type[Widget]:
        if self._class is None:
            self._class = self._load()
        return self._class
