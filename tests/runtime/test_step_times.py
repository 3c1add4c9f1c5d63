"""The time of each step, divided into its parts, in the rows of the journal and in the status."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from cockpit.cli.commands.reading.status import read_status
from cockpit.console import step_time_text
from cockpit.console.summary import read_outcome, summary_lines
from engine.journal.reader import JournalReader
from engine.outputs.step_time import PARTS, TIME
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.start.bootstrap import RunRequest
from engine.runtime.train import train
from tests.small import small_config

ON_CPU = tuple(TIME + part for part in PARTS if part not in ("transfer", "exchange"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("runs") / "timed"
    directory.mkdir()
    config = small_config(training={"epochs": 3, "accumulation": 1})
    assert train(RunRequest(directory, config, device="cpu"), Interrupt()) == 0
    return directory


def test_every_row_has_every_part_and_they_make_up_the_time_from_step_to_step(run: Path) -> None:
    with closing(JournalReader(run)) as reader:
        assert TIME + "transfer" not in reader.metric_names()
        series = reader.series((*ON_CPU, "data_wait", "samples_per_second"))
    assert all(series.present[name].all() for name in ON_CPU)
    values = series.values
    assert (values[TIME + "forward"] > 0).all() and (values[TIME + "backward"] > 0).all()
    assert (values[TIME + "guards"] > 0).all() and (values[TIME + "optimizer"] > 0).all()
    np.testing.assert_array_equal(values[TIME + "data_wait"], values["data_wait"])
    step = sum(values[TIME + part] for part in ("data_wait", "forward", "backward", "guards", "optimizer", "other"))
    assert (step > 0).all()


def test_a_validation_and_a_checkpoint_belong_to_the_step_after_them(run: Path) -> None:
    with closing(JournalReader(run)) as reader:
        series = reader.series((TIME + "validation", TIME + "checkpoint"))
        validated = {entry.step for entry in reader.events(kinds=("validation_completed",))}
    after = set((series.steps[series.values[TIME + "validation"] > 0] - 1).tolist())
    assert after == {step for step in validated if step < series.steps[-1]} != set()
    assert (series.values[TIME + "checkpoint"] > 0).any()


def test_the_status_and_the_summary_tell_the_division_and_the_verdict(run: Path) -> None:
    status = read_status(run)
    assert set(status["step_time"]) == {name.removeprefix(TIME) for name in ON_CPU}  # type: ignore[arg-type]
    assert isinstance(status["step_time_verdict"], str) and status["step_time_verdict"]
    with closing(JournalReader(run)) as reader:
        outcome = read_outcome(reader, run)
    assert outcome is not None
    lines = [line.plain.strip() for line in summary_lines(outcome)]
    assert status["step_time_verdict"] in lines
    assert any(" a step: " in line and "forward" in line for line in lines)


def test_a_verdict_knows_the_settings_of_the_newest_session(run: Path) -> None:
    with closing(JournalReader(run)) as reader:
        found = step_time_text._settings(reader.meta("sessions"))
    assert (found.num_workers, found.validation_epochs) == (0, 1)
    assert (found.checkpoint_steps, found.checkpoint_epochs) == (3, 1)
    assert not found.is_compiled and found.cores >= 1
    assert step_time_text._settings(None).checkpoint_steps == 0
