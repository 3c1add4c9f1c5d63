"""Synthetic scenes that are planned and drawn once for all runs of a process: most tests train on the same few."""

from __future__ import annotations

from functools import lru_cache

from engine.tasks.person.data import sources
from engine.tasks.person.data.readers.scenes import Picture
from engine.tasks.person.data.synthetic.scenes import SyntheticScene

draw_scene = SyntheticScene.read
"""Draws a scene, also one that was drawn before."""


def share_drawn_scenes() -> None:
    """Let equal scenes have one picture. Pictures never change: each run's cache passes the same one several times."""
    sources.draw_index = lru_cache(maxsize=64)(sources.draw_index)
    kept = lru_cache(maxsize=512)(draw_scene)

    def read(scene: SyntheticScene) -> Picture:
        return kept(scene)

    SyntheticScene.read = read  # type: ignore[method-assign]
