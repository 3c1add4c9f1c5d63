"""The synthetic dataset: scenes of several overlapping people among similar objects, with exact masks.

It is the documented default for runs without data. Each scene is a function of its number and the settings, and is
drawn when it is first needed. Positions are planned in advance, so that boxes are known without drawing.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.protocol.record import record
from engine.tasks.person.config import SyntheticConfig
from engine.tasks.person.data.readers.index import DatasetIndex
from engine.tasks.person.data.readers.scenes import Box, Picture, SplitIndex, cut_mask
from engine.tasks.person.data.synthetic.backdrops import (
    Palette,
    draw_backdrop,
    draw_palette,
    draw_posts,
    draw_textures,
    draw_things,
)
from engine.tasks.person.data.synthetic.canvas import SceneCanvas
from engine.tasks.person.data.synthetic.figures import Figure, draw_figure

SCENE_SEED: Final = 20_170
"""The seed of the synthetic scenes. It is the same for every run, so that runs can be compared."""

MAX_COVERED: Final = 0.55
"""Maximum fraction of a person's box that the boxes of people in front may cover."""

_SPLITS: Final = {"train": 0, "val": 1}
_GRID: Final = 48


@record
class SyntheticScene:
    """One scene that is not yet drawn: `size` pixels square, with the planned boxes clipped to the image."""

    name: str
    key: tuple[int, int, int]
    size: int
    max_people: int
    boxes: tuple[Box | None, ...]
    file: None = None

    def read(self) -> Picture:
        """Draw the scene. Equal scenes have equal pixels."""
        rng = np.random.default_rng(self.key)
        palette, figures = _plan(rng, self.size, self.max_people)
        canvas = SceneCanvas(self.size)
        canvas.paint(*draw_things(rng, self.size, palette))
        for number in range(len(figures), 0, -1):
            figure = figures[number - 1]
            canvas.paint(figure.polygons_KP2, list(figure.paints), owner=number)
        canvas.paint(*draw_posts(rng, self.size, palette))
        image = _light(rng, canvas.render(draw_backdrop(rng, self.size, palette), draw_textures(rng, self.size)))
        owners_HW = canvas.owners()
        people = (cut_mask(owners_HW == number, id=str(number)) for number in range(1, len(figures) + 1))
        return Picture(image, tuple(people))


def draw_index(config: SyntheticConfig, seed: int = SCENE_SEED) -> DatasetIndex:
    """Return the scenes of both splits, planned but not drawn."""
    train = _plan_split("train", config.num_train_scenes, config, seed)
    return DatasetIndex("built-in people", train, _plan_split("val", config.num_val_scenes, config, seed))


def _plan_split(split: str, num_scenes: int, config: SyntheticConfig, seed: int) -> SplitIndex:
    scenes: list[SyntheticScene] = []
    for number in range(num_scenes):
        key = (seed, _SPLITS[split], number)
        _, figures = _plan(np.random.default_rng(key), config.image_size, config.max_people)
        boxes = tuple(_inside(figure.box, config.image_size) for figure in figures)
        name = f"synthetic/{split}/{number:05d}"
        scenes.append(SyntheticScene(name, key, config.image_size, config.max_people, boxes))
    return SplitIndex(tuple(scenes), num_images=num_scenes)


def _plan(rng: np.random.Generator, size: int, max_people: int) -> tuple[Palette, list[Figure]]:
    """Return the colours of a scene and its people from the nearest to the farthest, each mostly visible."""
    palette = draw_palette(rng)
    count = int(rng.integers(min(2, max_people), max_people + 1))
    nearest = rng.uniform(0.6, 0.95) * size
    heights = nearest * np.concatenate([[1.0], np.sort(rng.uniform(0.45, 1.0, size=count - 1))[::-1]])
    if rng.random() < 0.3:
        heights[-1] = rng.uniform(0.12, 0.3) * size
    taken = np.zeros((_GRID, _GRID), dtype=np.bool_)
    figures: list[Figure] = []
    x = rng.uniform(0.2, 0.8) * size
    for height in heights:
        figure = draw_figure(rng, height=float(height), palette=palette.clothes)
        placed = _place(rng, figure, (x, float(height), size), taken)
        if placed is not None:
            figures.append(placed)
            x = float(np.mean(placed.polygons_KP2[..., 0]))
    return palette, figures


def _place(
    rng: np.random.Generator, figure: Figure, near: tuple[float, float, int], taken: NDArray[np.bool_]
) -> Figure | None:
    """Return the figure moved to x, often overlapping others; `None` if the people in front would hide it."""
    x, height, size = near
    _, _, _, foot = figure.box
    for _ in range(8):
        side = rng.choice([-1.0, 1.0]) * rng.uniform(0.12, 0.5) * height
        floor = size * (0.62 + 0.34 * height / size) + rng.normal(0, 0.02) * size
        moved = figure.moved(float(np.clip(x + side, 0.08 * size, 0.92 * size)), floor - foot)
        cells = _cells(moved.box, size)
        if taken[cells].size and taken[cells].mean() <= MAX_COVERED:
            taken[cells] = True
            return moved
    return None


def _cells(box: Box, size: int) -> tuple[slice, slice]:
    left, top, right, bottom = (int(np.clip(round(edge * _GRID / size), 0, _GRID)) for edge in box)
    return slice(top, bottom), slice(left, right)


def _inside(box: Box, size: int) -> Box | None:
    left, top, right, bottom = max(box[0], 0.0), max(box[1], 0.0), min(box[2], size), min(box[3], size)
    return (left, top, right, bottom) if right > left and bottom > top else None


def _light(rng: np.random.Generator, rgb_HW3: NDArray[np.float32]) -> Image.Image:
    """Return the scene under slanting light, with sensor noise, as 8-bit RGB."""
    size = len(rgb_HW3)
    across, down = rng.uniform(-0.25, 0.25, size=2)
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    light_HW1 = (1 + np.float32(across) * ramp[None] + np.float32(down) * ramp[:, None])[..., None]
    noise = rng.standard_normal(rgb_HW3.shape, dtype=np.float32) * np.float32(rng.uniform(0.01, 0.04))
    return Image.fromarray((np.clip(rgb_HW3 * light_HW1 + noise, 0, 1) * 255).astype(np.uint8))
