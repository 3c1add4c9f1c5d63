"""The random numbers of one sample's augmentations: always the same count, whatever is switched on."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.protocol.record import record


@record
class PasteDraws:
    """Numbers in 0..1 that place another person: whether, which one, where, and in front or behind."""

    chance: float
    person: float
    across: float
    down: float
    size: float
    angle: float
    mirror: float
    front: float
    over_others: float


@record
class BackgroundDraws:
    """Numbers in 0..1 that choose new surroundings: whether, of which person's image, and which part of it."""

    chance: float
    person: float
    size: float
    across: float
    down: float
    mirror: float


@record
class EraseDraws:
    """Numbers in 0..1 of one painted rectangle: whether, its sides, its place and its colour."""

    chance: float
    width: float
    height: float
    across: float
    down: float
    red: float
    green: float
    blue: float


@record
class Draws:
    """Every random number of one sample, each in 0..1."""

    angle: float
    size: float
    across: float
    down: float
    gray: float
    blur: float
    blur_size: float
    background: BackgroundDraws
    paste: PasteDraws
    erase: EraseDraws


_COUNTS: Final = (7, 6, 9, 8)
"""Numbers of a region itself, of its surroundings, of the other person and of the rectangle."""


def draw(rng: np.random.Generator) -> Draws:
    """Return the next numbers of `rng`, always the same count."""
    values: NDArray[np.float64] = rng.random(sum(_COUNTS))
    own, background, paste, erase = np.split(values, np.cumsum(_COUNTS)[:-1])
    return Draws(
        *own.tolist(),
        background=BackgroundDraws(*background.tolist()),
        paste=PasteDraws(*paste.tolist()),
        erase=EraseDraws(*erase.tolist()),
    )


def spread(value: float, most: float) -> float:
    """Return a number in 0..1 as one in -most..most."""
    return (2 * value - 1) * most
