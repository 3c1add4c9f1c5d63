"""Mistakes in the configuration class of a task."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import create_model

from engine.config.sections import NetworkConfig, Section, TrainingConfig
from engine.config.task.config_check import config_mistake
from engine.config.tree import RunConfig
from engine.tasks.person.task import PersonTask


class WiderNetwork(NetworkConfig):
    width: int = 3


class WithMethod(TrainingConfig):
    warmup_epochs: int = 3  # type: ignore[assignment]


def config_of(**fields: Any) -> type[RunConfig]:
    return create_model("Config", __base__=RunConfig, **fields)


@pytest.mark.parametrize(
    ("fields", "mistake"),
    [
        ({}, ""),
        ({"hidden": (int, 3), "model": (WiderNetwork, WiderNetwork()), "training": (WithMethod, WithMethod())}, ""),
        ({"model": (Section, Section())}, "Config.model replaces a section of every run: derive its class from Netw"),
        ({"training": (int, 3)}, "Config.training replaces a section of every run: derive its class from Training"),
        ({"task": (int, 3)}, "Config.task replaces a key of every run: give the key another name"),
        ({"hidden": (int, ...)}, "Config.hidden: its default does not fit: Field required"),
        ({"when": ("Unknown", None)}, "Config: `Config` is not fully defined"),
    ],
)
def test_what_the_engine_reads_must_stay(fields: dict[str, Any], mistake: str) -> None:
    found = config_mistake(config_of(**fields))
    assert found.startswith(mistake) and bool(found) is bool(mistake)


@pytest.mark.filterwarnings("ignore:Field name")
def test_a_key_does_not_hide_a_method() -> None:
    mistake = config_mistake(config_of(active_components=(bool, True)))
    assert mistake == "Config.active_components hides RunConfig.active_components: give the key another name"


def test_the_built_in_task_has_none() -> None:
    assert config_mistake(PersonTask.Config) == ""
