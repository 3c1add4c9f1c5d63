"""The lines of the preview panel about the selected sample: its origin, its error, its IoUs, how it was learned."""

from __future__ import annotations

from textual.content import Content

from cockpit.text.format import escape_control
from cockpit.ui.panels.preview.gallery import Gallery
from cockpit.ui.panels.preview.history import Moment, learned
from cockpit.ui.panels.preview.layers import Palette
from cockpit.ui.panels.toolkit.line_parts import LinePart, flow, part
from cockpit.ui.panels.toolkit.symbols import BAD, LABEL
from engine.outputs.inspection.strip_file import error_text
from engine.outputs.preview_file import Preview, sample_ious
from engine.protocol.record import record
from engine.protocol.task_spec import TaskSpec


@record
class Shown:
    """The selected sample in its gallery, and its predictions at several validations, which may be shown alone."""

    gallery: Gallery
    spec: TaskSpec
    palette: Palette
    moments: tuple[Moment, ...]
    is_strip_only: bool

    def lines(self, width: int) -> list[Content]:
        """Return the selected validation and sample, its error, and the IoU of each class or how it was learned."""
        gallery, preview = self.gallery, self.gallery.preview
        if preview is None:
            return flow([part("", escape_control(gallery.notice), BAD if gallery.steps else LABEL)], width)
        return flow(
            [
                part("validation at step", str(gallery.step)),
                part("", f"{gallery.steps.index(gallery.step) + 1} of {len(gallery.steps)}", LABEL, rank=2),
                part(self.spec.sample_noun, f"{gallery.number + 1} of {len(gallery.previews)}"),
                part("", escape_control(preview.sample_id), LABEL, rank=3),
                *([part("worst", f"#{preview.rank}", rank=1)] if preview.rank else []),
                *([part("error", error_text(preview.error))] if preview.rank and not self.is_strip_only else []),
                *self._quality(preview),
            ],
            width,
            3,
        )

    def _quality(self, preview: Preview) -> list[LinePart]:
        if self.is_strip_only:
            said = learned(self.moments) or ("-" if self.moments else "not remembered by any validation")
            return [part("error", said)]
        names = self.palette.names
        ious = zip(names, sample_ious(preview, len(names)), strict=False)
        return [part(f"IoU {name}", "-" if iou is None else f"{iou:.3f}") for name, iou in ious]
