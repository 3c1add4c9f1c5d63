"""A picture of the regions with the lowest IoU: image, truth, prediction and error, the worst first."""

from __future__ import annotations

import heapq
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from engine.errors import UserError
from engine.outputs.inference.whole_file import write_whole
from engine.outputs.preview_file import Preview
from engine.tasks.person.data.checks.contact_sheet import COLOURS, tinted, write_line
from engine.tasks.person.data.readers.scenes import Box

SIDE: Final = 128
"""Side in pixels of each of the four pictures of a region."""

_COLUMNS: Final = 2
_PARTS: Final = ("image", "truth", "prediction", "error")
_GAP: Final = 10
_LINE: Final = 18
_PAPER: Final = (24, 24, 24)
_FRAME: Final = (250, 220, 60)
"""Colour of the person's box, where the region is larger."""


@dataclass(frozen=True, slots=True, order=True)
class _Tile:
    """A region; the heap's smallest is the one with the highest IoU, of equal ones the last.

    `box` is the person's box in fractions of the region.
    """

    rank: tuple[float, int]
    caption: str = field(compare=False)
    box: Box = field(compare=False)
    image_HW3: NDArray[np.uint8] = field(compare=False)
    label_HW: NDArray[np.uint8] = field(compare=False)
    predicted_HW: NDArray[np.uint8] = field(compare=False)


class WorstRegions:
    """Keeps the `most` regions with the lowest IoU of all that are offered."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._num_offered = 0
        self._heap: list[_Tile] = []

    def wants(self, iou: float) -> bool:
        """Return whether a region with this IoU is among the worst so far."""
        return len(self._heap) < self._most or (bool(self._heap) and -iou > self._heap[0].rank[0])

    def add(self, iou: float, box: Box, preview: Preview) -> None:
        """Keep a region that is wanted, in place of the best of those kept. `box` is in fractions of the region."""
        self._num_offered += 1
        predicted, truth, image = (plane.values for plane in preview.planes[:3])
        caption = f"IoU {iou:.3f}  {preview.sample_id}"
        tile = _Tile((-iou, -self._num_offered), caption, box, image, truth, predicted)
        (heapq.heappush if len(self._heap) < self._most else heapq.heapreplace)(self._heap, tile)

    def write(self, file: Path) -> tuple[Path, ...]:
        """Write the sheet, the worst region first, and return its file. Raises UserError if writing fails."""
        tiles = sorted(self._heap, reverse=True)
        if not tiles:
            return ()
        content = io.BytesIO()
        _sheet(tiles).save(content, "PNG")
        try:
            write_whole(file, content.getvalue())
        except OSError as error:
            raise UserError(f"{file} cannot be written ({error.strerror or error})") from error
        return (file,)


def _sheet(tiles: Sequence[_Tile]) -> Image.Image:
    columns = min(len(tiles), _COLUMNS)
    rows = -(-len(tiles) // columns)
    width = len(_PARTS) * SIDE
    size = (_GAP + columns * (width + _GAP), 2 * _LINE + _GAP + rows * (SIDE + _LINE + _GAP))
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    write_line(draw, (_GAP, 2), f"the {len(tiles)} regions with the lowest IoU of the target", size[0] - _GAP)
    for place, (word, colour) in enumerate(zip(("background", "target", "others"), COLOURS, strict=True)):
        write_line(draw, (_GAP + 80 * place, _LINE), word, size[0], colour)
    for place, tile in enumerate(tiles):
        row, column = divmod(place, columns)
        left, top = _GAP + column * (width + _GAP), 2 * _LINE + _GAP + row * (SIDE + _LINE + _GAP)
        _paste(sheet, _pictures(tile), left, top)
        write_line(draw, (left, top + SIDE + 1), f"{place + 1}. {tile.caption}", width)
    return sheet


def _paste(sheet: Image.Image, parts: Sequence[Image.Image], left: int, top: int) -> None:
    for number, part in enumerate(parts):
        sheet.paste(part, (left + number * SIDE, top))


def _pictures(tile: _Tile) -> tuple[Image.Image, ...]:
    image = Image.fromarray(tile.image_HW3).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    truth, predicted = (_enlarged(classes_HW) for classes_HW in (tile.label_HW, tile.predicted_HW))
    wrong = Image.fromarray((truth != predicted).astype(np.uint8) * 255).convert("RGB")
    parts = image, tinted(image, truth), tinted(image, predicted), wrong
    if tile.box != (0.0, 0.0, 1.0, 1.0):
        for part in parts:
            ImageDraw.Draw(part).rectangle([round(edge * (SIDE - 1)) for edge in tile.box], outline=_FRAME)
    return parts


def _enlarged(classes_HW: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(classes_HW).resize((SIDE, SIDE), Image.Resampling.NEAREST))
