"""Surroundings of the synthetic people: textured backdrops, and objects with similar colours and shapes."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.protocol.record import record
from engine.tasks.person.data.synthetic.canvas import Paint, Polygons, capsules
from engine.tasks.person.data.synthetic.figures import NUM_TEXTURES, SKIN_TONES, Colour


@record
class Palette:
    """The colours of one scene. Clothes are mostly more vivid than the surroundings, but the ranges overlap."""

    clothes: list[Colour]
    surroundings: list[Colour]


def draw_palette(rng: np.random.Generator, num_colours: int = 6) -> Palette:
    """Draw a palette with `num_colours` for the people and as many for everything else."""
    clothes = rng.uniform((0, 0.3, 0.35), (1, 0.95, 1.0), size=(num_colours, 3))
    surroundings = rng.uniform((0, 0.0, 0.12), (1, 0.45, 0.8), size=(num_colours, 3))
    return Palette(_rgb(clothes), _rgb(surroundings))


def _rgb(hsv_K3: NDArray[np.float64]) -> list[Colour]:
    return [colorsys.hsv_to_rgb(hue, saturation, value) for hue, saturation, value in hsv_K3.tolist()]


def draw_textures(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    """Draw NUM_TEXTURES reliefs (T, size, size) of about -1..1: two noises, three weaves, one with large patches."""
    along = np.arange(size, dtype=np.float32)
    pitch, tilt = rng.uniform(3.0, 9.0, size=3), rng.uniform(0.4, 1.2)
    slanted_HW = np.cos(tilt) * along[None] + np.sin(tilt) * along[:, None]
    weaves = [
        np.sin(2 * np.pi * place / width)
        for place, width in zip((along[None], along[:, None], slanted_HW), pitch, strict=True)
    ]
    fine_HW = rng.standard_normal((size, size), dtype=np.float32) * np.float32(0.5)
    textures_THW = np.empty((NUM_TEXTURES, size, size), dtype=np.float32)
    for texture_HW, relief in zip(
        textures_THW, (_noise(rng, size, 24), fine_HW, *weaves, _noise(rng, size, 7)), strict=True
    ):
        texture_HW[:] = relief
    return textures_THW


def draw_backdrop(rng: np.random.Generator, size: int, palette: Palette) -> NDArray[np.float32]:
    """Draw a wall and a floor: (size, size, 3) of about 0..1, each blotched with two colours at two scales."""
    wall, floor = (_blotches(rng, size, palette.surroundings) for _ in range(2))
    horizon = size * rng.uniform(0.35, 0.85) + rng.uniform(-0.2, 0.2) * (np.arange(size) - size / 2)
    is_floor = np.arange(size)[:, None] > horizon[None]
    return np.where(is_floor[..., None], floor, wall)


def draw_things(rng: np.random.Generator, size: int, palette: Palette) -> tuple[Polygons, list[Paint]]:
    """Draw poles, boughs, balls and blobs, many in the colours of clothes and skin. Return polygons and paints."""
    tables = [_MAKERS[int(rng.integers(len(_MAKERS)))](rng) for _ in range(int(rng.integers(5, 10)))]
    table_K6 = np.concatenate(tables) * size
    colours = [_colour(rng, palette) for _ in range(len(table_K6))]
    paints = [Paint(c, int(rng.integers(NUM_TEXTURES)), float(rng.uniform(0.03, 0.3))) for c in colours]
    return capsules(table_K6[:, :4], table_K6[:, 4:]), paints


def draw_posts(rng: np.random.Generator, size: int, palette: Palette) -> tuple[Polygons, list[Paint]]:
    """Draw at most two thin posts in front of all people. Return polygons and paints."""
    count = int(rng.choice(3, p=(0.6, 0.3, 0.1)))
    x, radius = rng.uniform(0, size, size=count), rng.uniform(0.008, 0.02, size=count) * size
    slant = rng.uniform(-0.05, 0.05, size=count) * size
    ends_K4 = np.stack(
        [x, np.full(count, size * rng.uniform(-0.1, 0.4)), x + slant, np.full(count, 1.1 * size)], axis=1
    )
    paints = [Paint(_colour(rng, palette), 1, 0.1) for _ in range(count)]
    return capsules(ends_K4, np.stack([radius, radius], axis=1)), paints


def _noise(rng: np.random.Generator, size: int, cells: int) -> NDArray[np.float32]:
    """Return smooth noise of about -1..1 with `cells` bumps per side."""
    grid = rng.uniform(-1, 1, size=(cells, cells)).astype(np.float32)
    return np.asarray(Image.fromarray(grid).resize((size, size), Image.Resampling.BICUBIC))


def _blotches(rng: np.random.Generator, size: int, palette: list[Colour]) -> NDArray[np.float32]:
    first, second, third = (np.array(palette[int(i)], dtype=np.float32) for i in rng.integers(len(palette), size=3))
    large = (0.5 + 0.5 * _noise(rng, size, int(rng.integers(3, 7))))[..., None]
    small = (0.3 * np.abs(_noise(rng, size, int(rng.integers(12, 40)))))[..., None]
    mixed = second + (first - second) * large
    return (mixed + (third - mixed) * small).astype(np.float32, copy=False)


def _colour(rng: np.random.Generator, palette: Palette) -> Colour:
    kinds = (palette.surroundings, palette.clothes, list(SKIN_TONES))
    choices = kinds[int(rng.choice(3, p=_SHARES))]
    return choices[int(rng.integers(len(choices)))]


def _poles(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw one upright pole with a knob: x0, y0, x1, y1 and two radii as fractions of the image.

    The other three functions return the same columns.
    """
    x, top, width = rng.uniform(0, 1), rng.uniform(0.0, 0.5), rng.uniform(0.01, 0.05)
    slant, foot = rng.uniform(-0.15, 0.15), rng.uniform(0.7, 1.1)
    return np.array([(x, top, x + slant, foot, width, width), (x, top, x, top - 0.03, width * 1.6, width * 1.4)])


def _boughs(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a chain of limbs without a body."""
    points = rng.uniform(0, 1, size=2) + np.cumsum(rng.normal(0, 0.11, size=(5, 2)), axis=0)
    widths = np.linspace(rng.uniform(0.02, 0.05), 0.012, 5)
    return np.concatenate([points[:-1], points[1:], widths[:-1, None], widths[1:, None]], axis=1)


def _balls(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a ball about as large as a head."""
    x, y, radius = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0.02, 0.08)
    return np.array([(x, y, x, y + radius * 0.3, radius, radius)])


def _blobs(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a lump about as large as a torso."""
    x, y = rng.uniform(0, 1, size=2)
    dx, dy = rng.normal(0, 0.12, size=2)
    first, second = rng.uniform(0.04, 0.13, size=2)
    return np.array([(x, y, x + dx, y + dy, first, second)])


_SHARES = (0.55, 0.3, 0.15)
"""Fractions of the objects with colours of the surroundings, of clothes and of skin."""

_MAKERS = (_poles, _boughs, _balls, _blobs)
