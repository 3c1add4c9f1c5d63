"""A folder with the smallest configuration that is still the real one, to start the program in."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config.files.yaml_text import dump_config
from tests.small import small_config

SCENES = {"num_train_scenes": 12, "num_val_scenes": 2, "image_size": 64, "max_people": 3}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where `small.yaml` is: a run that would last for hours, hints seen."""
    config = small_config(
        training={"learning_rate": 1e-3, "epochs": 100_000, "batch_size": 2, "warmup_epochs": 0},
        data={"synthetic": SCENES},
        checkpoint={"every_steps": 50},
        validation={"every_epochs": 5},
        gate={"min_steps": 100_000, "window_steps": 4},
        tensorboard={"enabled": False},
    )
    (tmp_path / "small.yaml").write_text(dump_config(config))
    seen = tmp_path / "state" / "training-cockpit" / "hints-seen"
    seen.parent.mkdir(parents=True)
    seen.touch()
    return tmp_path
