"""Unusual settings of a configuration, compared with the named configuration that it is based on."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config.load import load_config, usual_config
from engine.config.unusual import departures
from engine.protocol.engine_events import Departure
from engine.tasks.person.config import PersonConfig


@pytest.mark.parametrize(
    ("setting", "found"),
    [
        ("training.learning_rate=1", [Departure("training.learning_rate", "1", "0.003")]),
        ("training.gradient_clip=1000", [Departure("training.gradient_clip", "1000", "1")]),
        ("training.warmup_epochs=0", [Departure("training.warmup_epochs", "0", "0.5")]),
        ("training.optimizer=adam", [Departure("training.optimizer", "adam", "adamw")]),
        ("training.batch_size=1", [Departure("training.batch_size", "1", "8")]),
        ("loss.weights.dice=5", [Departure("loss.weights.dice", "5", "0.5")]),
        (
            "model.refinements.contour_detection=true",
            [Departure("model.refinements.contour_detection", "True", "False")],
        ),
        ("training.learning_rate=0.004", []),
        ("training.learning_rate=1e-6", []),
        ("training.epochs=3", []),
    ],
)
def test_what_makes_a_run_less_stable_than_its_named_config_is_told(setting: str, found: list[Departure]) -> None:
    assert list(departures(load_config("tiny", (setting,)), usual_config("tiny", PersonConfig()))) == found


def test_a_file_is_held_against_the_named_config_that_it_extends(tmp_path: Path) -> None:
    base, mine = tmp_path / "base.yaml", tmp_path / "mine.yaml"
    base.write_text("extends: tiny\n")
    mine.write_text("extends: base.yaml\ntraining:\n  learning_rate: 1\n")
    assert usual_config(str(mine), PersonConfig()) == load_config("tiny")
    (far,) = departures(load_config(str(mine)), usual_config(str(mine), PersonConfig()))
    assert far.usual == "0.003"


def test_a_file_that_extends_nothing_is_held_against_the_defaults(tmp_path: Path) -> None:
    alone = tmp_path / "alone.yaml"
    alone.write_text("training:\n  learning_rate: 1\n")
    (far,) = departures(load_config(str(alone)), usual_config(str(alone), PersonConfig()))
    assert far == Departure("training.learning_rate", "1", "0.0002")
