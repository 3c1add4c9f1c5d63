"""Articulated people for the synthetic scenes: a pose from joint angles, and a body of clothed capsules.

A figure has its own frame: y grows downwards, the hip is the origin, 1 is the height of an upright person.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.protocol.record import record
from engine.tasks.person.data.readers.scenes import Box
from engine.tasks.person.data.synthetic.canvas import Paint, Polygons, capsules

Colour = tuple[float, float, float]

SKIN_TONES: Final[tuple[Colour, ...]] = (
    (0.95, 0.80, 0.69),
    (0.87, 0.67, 0.53),
    (0.76, 0.55, 0.41),
    (0.60, 0.41, 0.29),
    (0.43, 0.28, 0.20),
    (0.29, 0.19, 0.14),
)
HAIR: Final[tuple[Colour, ...]] = (
    (0.08, 0.06, 0.05),
    (0.25, 0.16, 0.10),
    (0.45, 0.30, 0.16),
    (0.80, 0.65, 0.40),
    (0.60, 0.60, 0.60),
)
NUM_TEXTURES: Final = 6


@record
class Figure:
    """One person in image pixels: polygons in painting order, (K, P, 2), and their paints."""

    polygons_KP2: Polygons
    paints: tuple[Paint, ...]

    def moved(self, x: float, y: float) -> Figure:
        """Return the figure shifted by x, y pixels."""
        return Figure(self.polygons_KP2 + np.array((x, y)), self.paints)

    @property
    def box(self) -> Box:
        """The box around every part, including parts outside the image."""
        (left, top), (right, bottom) = self.polygons_KP2.min(axis=(0, 1)), self.polygons_KP2.max(axis=(0, 1))
        return float(left), float(top), float(right), float(bottom)


@record
class _Limb:
    """The three joints of an arm or leg, x and y each: shoulder, elbow, hand; or hip, knee, foot."""

    upper: NDArray[np.float64]
    middle: NDArray[np.float64]
    lower: NDArray[np.float64]


@record
class _Pose:
    """Joint positions in the figure's own frame. The two limbs of a pair are the far one and the near one."""

    shoulder: NDArray[np.float64]
    head: NDArray[np.float64]
    arms: tuple[_Limb, _Limb]
    legs: tuple[_Limb, _Limb]
    facing: float
    forward: float


def draw_figure(rng: np.random.Generator, *, height: float, palette: list[Colour]) -> Figure:
    """Draw a random person of `height` pixels (if upright) with the hip at 0, 0 and clothes from `palette`."""
    pose = _draw_pose(rng)
    stout = rng.uniform(0.85, 1.35)
    ends_K4, radii_K2 = _body(pose, stout)
    polygons_KP2 = capsules(ends_K4 * height, radii_K2 * height)
    return Figure(polygons_KP2, _clothe(rng, palette))


def _draw_pose(rng: np.random.Generator) -> _Pose:
    lively = rng.choice([0.25, 0.6, 1.0])
    facing, forward = rng.uniform(0.3, 1.0), rng.choice([-1.0, 1.0])
    lean = forward * rng.normal(0.05, 0.12) * (1 + lively)
    shoulder = -0.31 * _direction(lean)
    head = shoulder - 0.125 * _direction(lean + rng.normal(0, 0.15))
    arms = tuple(_draw_arm(rng, shoulder, side * 0.105 * facing, lively, forward) for side in (-1, 1))
    is_sitting = rng.random() < 0.12
    legs = tuple(_draw_leg(rng, side * 0.06 * facing, lively, forward, is_sitting) for side in (-1, 1))
    return _Pose(shoulder, head, (arms[0], arms[1]), (legs[0], legs[1]), facing, forward)


def _direction(angle: float) -> NDArray[np.float64]:
    """Return a unit vector: downwards at angle 0, to the right at pi / 2."""
    return np.array([np.sin(angle), np.cos(angle)])


def _point(x: float, y: float) -> NDArray[np.float64]:
    return np.array((x, y), dtype=np.float64)


def _draw_arm(
    rng: np.random.Generator, shoulder: NDArray[np.float64], offset: float, lively: float, forward: float
) -> _Limb:
    raised = rng.random() < 0.15 * (1 + lively)
    outwards = np.sign(offset) * abs(rng.normal(0.15, 0.25)) + forward * rng.normal(0, 0.7 * lively)
    angle = np.sign(offset) * rng.uniform(1.2, 3.0) if raised else outwards
    start = shoulder + _point(offset, 0.015)
    elbow = start + 0.165 * _direction(angle)
    hand = elbow + 0.165 * _direction(angle + forward * abs(rng.normal(0.2, 0.9 * lively)))
    return _Limb(start, elbow, hand)


def _draw_leg(rng: np.random.Generator, offset: float, lively: float, forward: float, is_sitting: bool) -> _Limb:
    angle = forward * (rng.uniform(1.2, 1.6) if is_sitting else rng.normal(0.05, 0.55 * lively))
    bend = rng.uniform(1.1, 1.7) if is_sitting else abs(rng.normal(0, 0.6 * lively))
    start = np.array([offset, 0.0])
    knee = start + 0.25 * _direction(angle)
    return _Limb(start, knee, knee + 0.24 * _direction(angle - forward * bend))


def _body(pose: _Pose, stout: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return capsules in painting order, far side first: ends (K, 4) and radii (K, 2)."""
    far, near = 0, 1
    parts = [*_arm(pose.arms[far], stout), *_leg(pose.legs[far], pose.forward, stout)]
    parts += _leg(pose.legs[near], pose.forward, stout)
    parts += [*_torso(pose, stout), *_head(pose), *_arm(pose.arms[near], stout)]
    table_K6 = np.array([(*start, *end, *radii) for start, end, radii in parts])
    return table_K6[:, :4], table_K6[:, 4:]


_Part = tuple[NDArray[np.float64], NDArray[np.float64], tuple[float, float]]


def _arm(arm: _Limb, stout: float) -> list[_Part]:
    return [
        (arm.middle, arm.lower, (0.027, 0.019)),
        (arm.lower, arm.lower + 0.2 * (arm.lower - arm.middle), (0.023, 0.016)),
        (arm.upper, arm.middle, (0.036 * stout, 0.028)),
    ]


def _leg(leg: _Limb, forward: float, stout: float) -> list[_Part]:
    return [
        (leg.lower, leg.lower + _point(forward * 0.055, 0.018), (0.026, 0.018)),
        (leg.middle, leg.lower, (0.036, 0.025)),
        (leg.upper, leg.middle, (0.055 * stout, 0.038)),
    ]


def _torso(pose: _Pose, stout: float) -> list[_Part]:
    width = 0.07 * (0.5 + 0.5 * pose.facing) * stout
    half = np.array([0.065 * pose.facing, 0.0])
    hip = np.array([0.0, -0.01])
    return [
        (hip - half * 0.6, hip + half * 0.6, (0.055 * stout, 0.055 * stout)),
        (pose.shoulder - half + _point(0, 0.04), hip - half * 0.7, (width * 0.75, width * 0.7)),
        (pose.shoulder + half + _point(0, 0.04), hip + half * 0.7, (width * 0.75, width * 0.7)),
        (pose.shoulder + _point(0, 0.03), hip, (width, width * 0.95)),
    ]


def _head(pose: _Pose) -> list[_Part]:
    up = pose.head - pose.shoulder
    turned = np.array([pose.forward * (1 - pose.facing) * 0.02, 0.0])
    return [
        (pose.shoulder, pose.head, (0.032, 0.030)),
        (pose.head + up * 0.12 - turned, pose.head + up * 0.3 - turned, (0.062, 0.055)),
        (pose.head - up * 0.1 + turned, pose.head + up * 0.18 + turned, (0.046, 0.052)),
    ]


def _clothe(rng: np.random.Generator, palette: list[Colour]) -> tuple[Paint, ...]:
    """Return a paint for each part of `_body`, in its order."""
    skin, hair = (_shade(rng, _pick(rng, tones), 0.08) for tones in (list(SKIN_TONES), list(HAIR)))
    shirt, trousers, shoes = (_cloth(rng, _pick(rng, palette)) for _ in range(3))
    bare = Paint(skin, 1, 0.05)
    forearm, calf = (shirt if rng.random() < 0.5 else bare), (trousers if rng.random() < 0.75 else bare)
    arm, leg = [forearm, bare, shirt], [shoes, calf, trousers]
    torso, head = [trousers, shirt, shirt, shirt], [bare, Paint(hair, 1, 0.15), bare]
    parts = [*arm, *leg, *leg, *torso, *head, *arm]
    return tuple(Paint(_shade(rng, part.colour, 0.05), part.texture, part.strength) for part in parts)


def _pick(rng: np.random.Generator, colours: list[Colour]) -> Colour:
    return colours[int(rng.integers(len(colours)))]


def _cloth(rng: np.random.Generator, colour: Colour) -> Paint:
    return Paint(_shade(rng, colour, 0.1), int(rng.integers(NUM_TEXTURES)), float(rng.uniform(0.03, 0.3)))


def _shade(rng: np.random.Generator, colour: Colour, spread: float) -> Colour:
    factor = 1 + float(rng.uniform(-spread, spread))
    return colour[0] * factor, colour[1] * factor, colour[2] * factor
