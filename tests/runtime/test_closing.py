"""A run that has ended in a process that goes on, such as one with a screen, holds nothing any more."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.runtime.host.interrupt import Interrupt
from engine.runtime.start.bootstrap import RunRequest
from engine.runtime.train import train
from tests.small import small_config


@pytest.fixture
def uncollected() -> Iterator[None]:
    """No garbage collection, which would close what was forgotten."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("uncollected")
def test_the_journal_of_a_run_that_has_ended_is_one_file(tmp_path: Path) -> None:
    config = small_config(training={"epochs": 2, "max_steps": 1})
    assert train(RunRequest(tmp_path, config, device="cpu"), Interrupt()) == 0
    assert [path.name for path in sorted(tmp_path.glob("run.sqlite*"))] == ["run.sqlite"]
