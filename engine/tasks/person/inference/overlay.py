"""Draw the masks of an image's people over it: a tint and an outline in a colour of its own, the box and a number."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from engine.protocol.record import record
from engine.tasks.person.data.readers.scenes import Box, Mask

COLOURS: Final = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 200, 140),
    (240, 228, 66),
    (213, 94, 0),
    (204, 121, 167),
    (120, 120, 255),
    (150, 230, 60),
    (255, 90, 120),
    (0, 220, 220),
)
"""Colours of people by their number; the first are of the Okabe-Ito palette."""

_TINT: Final = 0.42
_INK: Final = (0, 0, 0)
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def colour_of(number: int) -> tuple[int, int, int]:
    """Return the colour of the person with that number from 1."""
    return COLOURS[(number - 1) % len(COLOURS)]


@record
class ShownPerson:
    """A person to draw: the number from 1, the given box, the mask whose first pixel is at `column`, `row`, a score."""

    number: int
    box: Box
    column: int
    row: int
    mask_HW: Mask
    score: float


def draw_overlay(image: Image.Image, people: Sequence[ShownPerson]) -> Image.Image:
    """Return a copy of an RGB image with its people.

    Large people are drawn first, so that small ones in front of them stay visible.
    """
    drawn = image.copy()
    line = max(1, round(max(image.size) / 400))
    for person in sorted(people, key=lambda person: -int(np.count_nonzero(person.mask_HW))):
        _paint(drawn, person, line)
    draw = ImageDraw.Draw(drawn)
    font = _font(max(10, round(max(image.size) / 50)))
    for person in people:
        _label(draw, person, font)
    return drawn


def _paint(drawn: Image.Image, person: ShownPerson, line: int) -> None:
    """Tint the mask's pixels, and draw its outline inside of it, `line` pixels wide.

    Pillow needs half of numpy's time. It blends the whole window, and copies it through a stencil of mode 1. To blend
    through a stencil of greys takes eight times as long.
    """
    if not person.mask_HW.size:
        return
    height, width = person.mask_HW.shape
    window = person.column, person.row, person.column + width, person.row + height
    colour = colour_of(person.number)
    tint = Image.new("RGB", (width, height), colour)
    drawn.paste(Image.blend(drawn.crop(window), tint, _TINT), window, Image.fromarray(person.mask_HW))
    drawn.paste(colour, window, Image.fromarray(outline(person.mask_HW, line)))


@cache
def _font(size: int) -> Font:
    return ImageFont.load_default(size)


def outline(mask_HW: Mask, line: int) -> Mask:
    """Return the pixels of a mask that are at most `line` pixels from its outside; the window's frame is outside."""
    inner_HW = mask_HW
    for _ in range(line):
        eroded_HW = np.zeros_like(inner_HW)
        middle = inner_HW[1:-1, 1:-1] & inner_HW[:-2, 1:-1] & inner_HW[2:, 1:-1]
        eroded_HW[1:-1, 1:-1] = middle & inner_HW[1:-1, :-2] & inner_HW[1:-1, 2:]
        inner_HW = eroded_HW
    return mask_HW & ~inner_HW


def _label(draw: ImageDraw.ImageDraw, person: ShownPerson, font: Font) -> None:
    """Draw a thin box, and number and score on the colour in its upper left corner, inside the image."""
    box, colour, text = person.box, colour_of(person.number), f"{person.number} {person.score:.2f}"
    edges = round(box[0]), round(box[1]), round(box[2]) - 1, round(box[3]) - 1
    draw.rectangle((*edges[:2], max(edges[2], edges[0]), max(edges[3], edges[1])), outline=colour)
    left, top, right, bottom = draw.textbbox((0, 0), text, font)
    width, height = right - left + 4, bottom - top + 4
    x = min(max(box[0], 0), max(draw.im.size[0] - width, 0))
    y = box[1] - height if box[1] >= height else box[1]
    draw.rectangle((x, y, x + width, y + height), fill=colour)
    draw.text((x + 2 - left, y + 2 - top), text, _INK, font)
