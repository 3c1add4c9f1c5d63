"""A canvas of numbered parts. Each polygon has a number; colour, texture and owner follow from it."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from engine.protocol.record import record

SUPERSAMPLING: Final = 2
NO_OWNER: Final = 0

Polygons = NDArray[np.float64]
"""K polygons of P corners, (K, P, 2), x and y in image pixels."""


@record
class Paint:
    """Appearance of a part: RGB in 0..1, its texture and the strength of the texture."""

    colour: tuple[float, float, float]
    texture: int = 0
    strength: float = 0.0


class SceneCanvas:
    """Parts painted over each other on a square of `size` pixels; part 0 is the backdrop."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._parts = Image.new("I", (size * SUPERSAMPLING, size * SUPERSAMPLING), 0)
        self._draw = ImageDraw.Draw(self._parts)
        self._paints = [Paint((0.0, 0.0, 0.0))]
        self._owners = [NO_OWNER]

    def paint(self, polygons_KP2: Polygons, paints: list[Paint], *, owner: int = NO_OWNER) -> None:
        """Paint K polygons in order, each in its paint, as parts of `owner` (0 for no owner)."""
        for corners_P2, paint in zip(polygons_KP2 * SUPERSAMPLING, paints, strict=True):
            self._draw.polygon(corners_P2.reshape(-1).tolist(), fill=len(self._paints))
            self._paints.append(paint)
            self._owners.append(owner)

    def owners(self) -> NDArray[np.int32]:
        """Return the owner of each pixel: (size, size)."""
        return np.array(self._owners, dtype=np.int32)[self._numbers()]

    def render(self, backdrop_HW3: NDArray[np.float32], textures_THW: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return RGB (size, size, 3) of about 0..1: parts over the backdrop, with smoothed edges and textures."""
        table = np.array([(*paint.colour, 1.0) for paint in self._paints]) * 255
        table[0] = 0
        fine_HW4 = np.clip(table, 0, 255).astype(np.uint8)[np.asarray(self._parts)]
        parts_HW4 = np.asarray(Image.fromarray(fine_HW4).reduce(SUPERSAMPLING), dtype=np.float32) / np.float32(255)
        opacity_HW1 = parts_HW4[..., 3:]
        rgb_HW3 = backdrop_HW3 + (parts_HW4[..., :3] - backdrop_HW3) * opacity_HW1
        numbers = self._numbers()
        texture = np.array([paint.texture for paint in self._paints])[numbers]
        strength = np.array([paint.strength for paint in self._paints], dtype=np.float32)[numbers]
        relief_HW = np.take_along_axis(textures_THW, texture[None], axis=0)[0] * strength
        return rgb_HW3 * (1 + relief_HW[..., None])

    def _numbers(self) -> NDArray[np.int32]:
        return np.asarray(self._parts)[::SUPERSAMPLING, ::SUPERSAMPLING]


def capsules(ends_K4: NDArray[np.float64], radii_K2: NDArray[np.float64], *, num_corners: int = 14) -> Polygons:
    """Return limbs: the hulls of two circles each, from x0, y0, x1, y1 and the two radii."""
    half = num_corners // 2
    along_K = np.arctan2(ends_K4[:, 3] - ends_K4[:, 1], ends_K4[:, 2] - ends_K4[:, 0])
    turn_P = np.concatenate([np.linspace(0.5, 1.5, half), np.linspace(1.5, 2.5, half)]) * np.pi
    angle_KP = along_K[:, None] + turn_P
    first_P = np.arange(2 * half) < half
    centre_KP2 = np.where(first_P[None, :, None], ends_K4[:, None, :2], ends_K4[:, None, 2:])
    radius_KP = np.where(first_P, radii_K2[:, :1], radii_K2[:, 1:])
    return centre_KP2 + radius_KP[..., None] * np.stack([np.cos(angle_KP), np.sin(angle_KP)], axis=-1)
