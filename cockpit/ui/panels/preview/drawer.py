"""The widget that draws pictures on a terminal: real pixels if the terminal has them, else half blocks or letters."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from cockpit.ui.panels.preview.graphics_support import (
    INSTALL_IMAGES,
    Protocol,
    cell_size,
    has_image_widgets,
    image_widget,
    protocol_of,
)
from cockpit.ui.panels.preview.half_blocks import Pictures

if TYPE_CHECKING:
    from cockpit.terminal.textual_private import OpenApp
    from cockpit.ui.panels.preview.pixels import GraphicPictures


class PictureDrawer:
    """Chooses the widget for the terminal of `app`; `graphics` is the protocol, `None` to detect it.

    `hint` is what to install for real pixels; empty string if that is not missing.
    """

    def __init__(self, app: OpenApp, marker: str, graphics: Protocol | None) -> None:
        self._app = app
        self._letters = app.no_color or marker == "ascii"
        protocol: Protocol = protocol_of(os.environ) if graphics is None else graphics
        self._protocol: Protocol = "" if self._letters or app.is_headless else protocol
        is_missing = bool(self._protocol) and not has_image_widgets()
        self.hint = f"this terminal can show real pixels: {INSTALL_IMAGES}" if is_missing else ""

    def widget(self, name: str) -> Pictures | GraphicPictures:
        """Return a widget with that name."""
        if not self._protocol or self.hint:
            return Pictures(letters=self._letters, id=name)
        # Only few terminals need Pillow and textual-image.
        from cockpit.ui.panels.preview.pixels import GraphicPictures  # noqa: PLC0415

        driver: Any = self._app.driver  # the driver of a terminal has a descriptor
        return GraphicPictures(lambda: image_widget(self._protocol, cell_size(driver.fileno), driver.write), id=name)
