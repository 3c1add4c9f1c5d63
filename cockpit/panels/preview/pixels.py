"""Pictures in real pixels, drawn by textual-image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image
from textual.containers import Grid, Vertical
from textual.widget import Widget
from textual.widgets import Static

from cockpit.panels.preview.half_blocks import grid_for, shown_in, strip_grid
from cockpit.panels.preview.layers import Layer


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

    def show(self, layers: Sequence[Layer], *, strip: bool = False) -> None:
        """Draw these layers; of a strip that does not fit, some from its beginning to its end."""
        self._layers, self._is_strip = layers, strip
        self._rebuild()

    def on_resize(self) -> None:
        """Lay out for the new size."""
        self._rebuild()

    def _rebuild(self) -> None:
        if self.is_attached:
            self.run_worker(self._mounted(), exclusive=True)

    async def _mounted(self) -> None:
        """Replace the widgets by those of the newest layers."""
        layers, size = self._layers, self.size
        await self.remove_children()
        if not layers or not size.area:
            return
        pixels = layers[0].picture_HWC.shape
        is_strip = self._is_strip
        layout = strip_grid if is_strip else grid_for
        grid = layout(len(layers), size.width, size.height, pixels[0] / pixels[1])
        self.styles.grid_size_columns = grid.across
        self.styles.grid_size_rows = grid.down
        cells = [self._cell(layer, grid.width, grid.height) for layer in shown_in(grid, layers, strip=is_strip)]
        await self.mount_all(cells)

    def _cell(self, layer: Layer, width: int, height: int) -> Widget:
        picture: Any = self._image_class()()  # textual-image's classes take their picture as an attribute
        picture.image = Image.fromarray(layer.picture_HWC)
        picture.styles.width, picture.styles.height = width, height
        return Vertical(Static(layer.name, markup=False), picture)

    def _image_class(self) -> type[Widget]:
        if self._class is None:
            self._class = self._load()
        return self._class
