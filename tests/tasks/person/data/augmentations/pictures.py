"""Pictures of one colour with people of one colour, so that every pixel tells where it comes from."""

from __future__ import annotations

import numpy as np
from PIL import Image

from engine.tasks.person.data.augmentations.draws import Draws, draw
from engine.tasks.person.data.augmentations.people import Person
from engine.tasks.person.data.readers.scenes import Box, PersonMask, Picture

Colour = tuple[int, int, int]
BLACK, WHITE, RED, BLUE = (0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 0, 255)


def painted(background: Colour, *people: tuple[Colour, tuple[int, int, int, int]], size: int = 96) -> Picture:
    """A square picture with rectangular people, each with its colour."""
    pixels_HW3 = np.full((size, size, 3), background, dtype=np.uint8)
    masks: list[PersonMask] = []
    for number, (colour, (left, top, right, bottom)) in enumerate(people):
        pixels_HW3[top:bottom, left:right] = colour
        box: Box = (float(left), float(top), float(right), float(bottom))
        masks.append(PersonMask(str(number), box, left, top, np.ones((bottom - top, right - left), dtype=np.bool_)))
    return Picture(Image.fromarray(pixels_HW3), tuple(masks))


def target(background: Colour = BLACK, colour: Colour = WHITE) -> Person:
    """A tall person of 24 x 48 pixels in the middle of a picture."""
    return Person(painted(background, (colour, (36, 24, 60, 72))), 0)


def draws(seed: int = 0) -> Draws:
    """The numbers of one sample."""
    return draw(np.random.default_rng(seed))
