"""The preview panel: samples of a validation with prediction, truth and errors."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.style import Style
from textual.widgets import Static

from cockpit.panels.preview.gallery import Gallery
from cockpit.panels.preview.graphics_support import (
    INSTALL_IMAGES,
    Protocol,
    cell_size,
    has_image_widgets,
    image_widget,
    protocol_of,
)
from cockpit.panels.preview.half_blocks import Pictures
from cockpit.panels.preview.layers import (
    ERROR_COLOURS,
    ERROR_LETTERS,
    Layer,
    Palette,
    Rgb,
    layers_of,
    palette_of,
)
from cockpit.panels.toolkit.line_panel import LinePart, flow, part
from cockpit.panels.toolkit.panel import Panel
from cockpit.panels.toolkit.symbols import ACTIVE, BAD, LABEL
from cockpit.session.session import Session, SessionUpdate
from cockpit.text.format import escape_control
from engine.outputs.preview_file import MAX_CLASSES, Preview, sample_ious
from engine.protocol.task_spec import NO_SPEC

if TYPE_CHECKING:
    from cockpit.panels.preview.pixels import GraphicPictures
    from cockpit.terminal.textual_private import OpenApp

_SECONDS_BETWEEN_LOOKS: Final = 1.0
ALL: Final = "all"


class PreviewPanel(Panel, can_focus=True):
    """Left and right select the sample, up and down the validation, enter the layer.

    `graphics` is the graphics protocol: 'kitty', 'sixel', empty string for half blocks, `None` to detect it.
    """

    TITLE: ClassVar[str] = "Preview"
    HELP = (
        "Left and right: previous and next sample. Up and down: next and previous validation. "
        "Enter: each layer in turn, then all of them. End: the newest validation."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "sample(-1)", show=False),
        Binding("right", "sample(1)", show=False),
        Binding("up", "validation(1)", show=False),
        Binding("down", "validation(-1)", show=False),
        Binding("end", "newest", show=False),
        Binding("enter", "layer(1)", show=False),
    ]
    DEFAULT_CSS = """
    PreviewPanel {
        layout: vertical;
        height: 1fr;

        & > Static { height: auto; padding: 0 1; }
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

    def compose(self) -> ComposeResult:
        """Yield the facts, the pictures and the legend."""
        yield self._facts
        self._pictures = self._drawer()
        yield self._pictures
        yield self._legend

    def _drawer(self) -> Pictures | GraphicPictures:
        """Return the picture widget: real pixels if the terminal has them, else half blocks or letters."""
        letters = self.app.no_color or self._marker == "ascii"
        protocol = protocol_of(os.environ) if self._graphics is None else self._graphics
        if protocol and not letters and not self.app.is_headless and not has_image_widgets():
            self._hint = f"this terminal can show real pixels: {INSTALL_IMAGES}"
        elif protocol and not letters and not self.app.is_headless:
            # Only few terminals need Pillow and textual-image.
            from cockpit.panels.preview.pixels import GraphicPictures  # noqa: PLC0415

            driver: Any = cast("OpenApp", self.app).driver  # the driver of a terminal has a descriptor
            return GraphicPictures(lambda: image_widget(protocol, cell_size(driver.fileno), driver.write))
        return Pictures(letters=letters)

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
        if self._gallery.open(session.run_dir, num_classes, has_previews=session.has_previews) or is_new:
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
        chosen = layers if self._layer == ALL else [layer for layer in layers if layer.name == self._layer]
        if self._pictures is not None:
            self._pictures.show(chosen)
        width = max(self.size.width - 2, 1)
        self._facts.update(Content("\n").join([*self._said(width), *self._switch(layers, width)]))
        hint = flow([part("", self._hint, LABEL)], width) if self._hint else []
        legend = flow(_legend(self._palette, layers), width, 2)
        self._legend.update(Content("\n").join([*legend, *hint] if layers else []))

    def _layers(self, preview: Preview | None) -> tuple[Layer, ...]:
        return () if preview is None else layers_of(preview, self._palette)

    def _said(self, width: int) -> list[Content]:
        """Return the selected validation and sample, and the IoU of each class."""
        gallery = self._gallery
        if gallery.preview is None:
            return flow([part("", escape_control(gallery.notice), BAD if gallery.steps else LABEL)], width)
        ious = sample_ious(gallery.preview, len(self._palette.names))
        return flow(
            [
                part("validation at step", str(gallery.step)),
                part("", f"{gallery.steps.index(gallery.step) + 1} of {len(gallery.steps)}", LABEL, rank=2),
                part(self._spec.sample_noun, f"{gallery.number + 1} of {len(gallery.previews)}"),
                part("", escape_control(gallery.preview.sample_id), LABEL, rank=3),
                *(
                    part(f"IoU {name}", "-" if iou is None else f"{iou:.3f}")
                    for name, iou in zip(self._palette.names, ious, strict=False)
                ),
            ],
            width,
            3,
        )

    def _switch(self, layers: tuple[Layer, ...], width: int) -> list[Content]:
        """Return the names of the layers, the chosen one in brackets."""
        pieces: list[LinePart] = []
        for name in (ALL, *(layer.name for layer in layers)) if layers else ():
            chosen = name == self._layer
            text = Content.styled(f"[{name}]" if chosen else f" {name} ", f"bold {ACTIVE}" if chosen else LABEL)
            pieces.append(LinePart(text.stylize(Style.from_meta({"layer": name}))))
        return flow(pieces, width, 2)

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

    def action_layer(self, by: int) -> None:
        """Select the next layer, or all of them."""
        preview = self._gallery.preview
        if preview is not None:
            names = [ALL, *(layer.name for layer in self._layers(preview))]
            self._layer = names[(names.index(self._layer) + by) % len(names)]
            self._show()

    def on_click(self, event: events.Click) -> None:
        """Select the layer whose name is clicked, and take the focus."""
        name = event.style.meta.get("layer")
        if isinstance(name, str):
            event.stop()
            self._layer = name
            self._show()
        self.focus()


def _legend(palette: Palette, layers: tuple[Layer, ...]) -> list[LinePart]:
    """Return colour, letter and name of each class and, with an error layer, of each error."""
    names = [*zip(palette.names[1:], palette.colours[1:], palette.letters[1:], strict=False)]
    kinds = [*zip(("FN", "FP", "wrong class"), ERROR_COLOURS[1:], ERROR_LETTERS[1:], strict=True)]
    wrong = kinds if any(layer.name == "error" for layer in layers) else []
    return [_key(*row) for row in (*names, *wrong)]


def _key(name: str, colour: Rgb, letter: str) -> LinePart:
    red, green, blue = (int(value) for value in colour)
    return LinePart(
        Content.assemble((f" {letter} ", f"bold #101010 on rgb({red},{green},{blue})"), (f" {name}", LABEL))
    )
