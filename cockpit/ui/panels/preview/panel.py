"""The preview panel: samples of a validation with prediction, truth and errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from cockpit.session.session import Session
from cockpit.session.update import SessionUpdate
from cockpit.ui.panels.preview.drawer import PictureDrawer
from cockpit.ui.panels.preview.facts import Shown
from cockpit.ui.panels.preview.gallery import Gallery
from cockpit.ui.panels.preview.graphics_support import Protocol
from cockpit.ui.panels.preview.half_blocks import Pictures
from cockpit.ui.panels.preview.history import strip_layers
from cockpit.ui.panels.preview.layers import Layer, layers_of, palette_of
from cockpit.ui.panels.preview.lines import STRIP, legend_of, switch_lines
from cockpit.ui.panels.toolkit.line_parts import flow, part
from cockpit.ui.panels.toolkit.panel import Panel
from cockpit.ui.panels.toolkit.symbols import LABEL
from engine.outputs.preview_file import MAX_CLASSES, Preview
from engine.protocol.task_spec import NO_SPEC

if TYPE_CHECKING:
    from cockpit.terminal.textual_private import OpenApp
    from cockpit.ui.panels.preview.pixels import GraphicPictures

_SECONDS_BETWEEN_LOOKS: Final = 1.0
_ROOMY: Final = 30
"""Rows from which the history of a sample is drawn below its layers."""
ALL: Final = "all"


class PreviewPanel(Panel, can_focus=True):
    """Left and right select the sample, up and down the validation, enter the layer, s the sample's history.

    `graphics` is the graphics protocol: 'kitty', 'sixel', empty string for half blocks, `None` to detect it.
    """

    TITLE: ClassVar[str] = "Preview"
    HELP = (
        "Left and right: previous and next sample, the worst first. Home: the worst. Up and down: next and previous "
        "validation. End: the newest one. Enter and backspace: each layer in turn, then all of them. "
        "S: the predictions of the sample at each validation that remembers it, or its layers. Worst #5: its error is "
        "the fifth largest of the whole split, of which only a part is shown."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "sample(-1)", show=False),
        Binding("right", "sample(1)", show=False),
        Binding("up", "validation(1)", show=False),
        Binding("down", "validation(-1)", show=False),
        Binding("home", "worst", show=False),
        Binding("end", "newest", show=False),
        Binding("enter", "layer(1)", show=False),
        Binding("backspace", "layer(-1)", show=False),
        Binding("s", "strip", show=False),
    ]
    DEFAULT_CSS = """
    PreviewPanel {
        layout: vertical;
        height: 1fr;

        & > Static { height: auto; padding: 0 1; }
        & > #strip { height: 10; }
    }
    """

    def __init__(self, *, marker: str = "braille", graphics: Protocol | None = None, id: str | None = None) -> None:
        super().__init__(id=id)
        self._gallery = Gallery()
        self._spec = NO_SPEC
        self._palette = palette_of(())
        self._layer = ALL
        self._facts = Static(markup=False)
        self._legend = Static(markup=False)
        self._hint = ""
        self._marker = marker
        self._graphics: Protocol | None = graphics
        self._pictures: Pictures | GraphicPictures | None = None
        self._strip: Pictures | GraphicPictures | None = None
        self._is_strip_only = False

    def compose(self) -> ComposeResult:
        """Yield the facts, the pictures and the legend."""
        yield self._facts
        drawer = PictureDrawer(cast("OpenApp", self.app), self._marker, self._graphics)
        self._hint = drawer.hint
        self._pictures, self._strip = drawer.widget("pictures"), drawer.widget("strip")
        yield self._pictures
        yield self._strip
        yield self._legend

    def on_mount(self) -> None:
        """Look for files at intervals while the panel is visible, as they follow the journal's event."""
        self.set_interval(_SECONDS_BETWEEN_LOOKS, self._look)

    def on_show(self) -> None:
        """Take the focus for the arrow keys."""
        if self.screen.focused is None:
            self.focus()

    def apply_update(self, session: Session, update: SessionUpdate) -> None:
        """Look for pictures of this run."""
        is_new = session.spec != self._spec
        if is_new:
            self._spec, self._palette = session.spec, palette_of(session.spec.classes)
        num_classes = len(self._spec.classes) or MAX_CLASSES
        if self._gallery.open(session.run_dir, num_classes, has_previews=session.origin.has_previews) or is_new:
            self._show()

    def _look(self) -> None:
        if self.is_on_screen and self._gallery.look():
            self._show()

    # --- content ------------------------------------------------------------------------

    def _show(self) -> None:
        preview = self._gallery.preview
        layers = self._layers(preview)
        if self._layer not in (ALL, *(layer.name for layer in layers)):
            self._layer = ALL
        is_drawn = preview is not None and (self._is_strip_only or self.size.height >= _ROOMY)
        moments = self._gallery.history.of(preview.sample_id) if preview is not None and is_drawn else ()
        self._draw(layers, strip_layers(moments, preview, self._palette) if preview is not None else ())
        width = max(self.size.width - 2, 1)
        switch = switch_lines(_names(layers), STRIP if self._is_strip_only else self._layer, width) if layers else []
        shown = Shown(self._gallery, self._spec, self._palette, moments, is_strip_only=self._is_strip_only)
        self._facts.update(Content("\n").join([*shown.lines(width), *switch]))
        hint = flow([part("", self._hint, LABEL)], width) if self._hint else []
        legend = flow(legend_of(self._palette, layers), width, 2)
        self._legend.update(Content("\n").join([*legend, *hint] if layers else []))

    def _draw(self, layers: tuple[Layer, ...], strip: tuple[Layer, ...]) -> None:
        """Draw the layers with the strip below them if there is room, or the strip alone."""
        if self._pictures is None or self._strip is None:
            return
        below = bool(strip) and not self._is_strip_only and self.size.height >= _ROOMY
        self._strip.display = below
        self._strip.show(strip if below else (), strip=True)
        if self._is_strip_only:
            self._pictures.show(strip, strip=True)
        else:
            self._pictures.show([layer for layer in layers if self._layer in (ALL, layer.name)])

    def _layers(self, preview: Preview | None) -> tuple[Layer, ...]:
        return () if preview is None else layers_of(preview, self._palette)

    def on_resize(self) -> None:
        """Lay out the lines for the new width."""
        self._show()

    # --- browsing -----------------------------------------------------------------------------

    def action_sample(self, by: int) -> None:
        """Select the sample `by` places further; the first one follows the last."""
        self._gallery.turn(by)
        self._show()

    def action_validation(self, by: int) -> None:
        """Select the validation `by` places further, within the range."""
        self._gallery.go(by)
        self._show()

    def action_newest(self) -> None:
        """Select and follow the newest validation."""
        self._gallery.go(len(self._gallery.steps))
        self._show()

    def action_worst(self) -> None:
        """Select the worst sample."""
        self._gallery.turn_to_worst()
        self._show()

    def action_layer(self, by: int) -> None:
        """Select the next layer, or all of them."""
        if self._gallery.preview is not None:
            names = _names(self._layers(self._gallery.preview))
            self._layer, self._is_strip_only = names[(names.index(self._layer) + by) % len(names)], False
            self._show()

    def action_strip(self) -> None:
        """Show the history of the sample instead of its layers, or its layers again."""
        self._is_strip_only = not self._is_strip_only
        self._show()

    def on_click(self, event: events.Click) -> None:
        """Select the layer whose name is clicked, and take the focus."""
        name = event.style.meta.get("layer")
        if isinstance(name, str):
            event.stop()
            self._is_strip_only = name == STRIP
            self._layer = self._layer if name == STRIP else name
            self._show()
        self.focus()


def _names(layers: tuple[Layer, ...]) -> list[str]:
    return [ALL, *(layer.name for layer in layers)]
