"""Tests of the scenes draw each one, even if another test has drawn it."""

from __future__ import annotations

import pytest

from engine.tasks.person.data.synthetic.scenes import SyntheticScene
from tests.drawn_scenes import draw_scene


@pytest.fixture(autouse=True)
def _draws_each_scene(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SyntheticScene, "read", draw_scene)
