"""Files of a run that are deleted during training: an alert reports it, and they are written again."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.journal.disk.run_dir import CHECKPOINTS, CONFIG_FILE, JOURNAL_FILE, LOCK_FILE
from engine.protocol import events as e
from engine.runtime.outages.run_directory import lost_checkpoints
from engine.tasks.person.config import PersonConfig
from engine.training.checkpoint.file import list_checkpoints, load_checkpoint
from engine.training.data.batch import Batch
from engine.training.step import TrainStep
from tests.faults.planted import Plant, plant
from tests.faulty import entries, long_config, run, state_of

LAST = 24


def gone(directory: Path) -> Callable[[], None]:
    """Delete it in one moment: a checkpoint may just be written."""

    def act() -> None:
        shutil.rmtree(directory.rename(directory.parent / "deleted"), ignore_errors=True)

    return act


def deleting(act: Callable[[], None]) -> Plant:
    """`act` during a step, and the time until the next look at the directory."""

    @contextmanager
    def planted(train_step: TrainStep, batches: Sequence[Batch]) -> Generator[None]:
        act()
        time.sleep(0.6)
        yield

    return planted


def config() -> PersonConfig:
    """Checkpoints so rare that none is written while they are deleted."""
    return long_config(
        training={"epochs": 100, "max_steps": LAST},
        validation={"every_epochs": 1},
        checkpoint={"every_steps": 100, "every_epochs": 0},
    )


def alerts(directory: Path) -> list[str]:
    found = (entry.event for entry in entries(directory, e.AlertRaised))
    return [alert.message for alert in found if isinstance(alert, e.AlertRaised) and alert.kind == "vanished"]


def assert_whole(directory: Path) -> None:
    """The run reached its end, and a resume finds all that it needs."""
    state = state_of(directory)
    assert state.step == LAST
    newest = list_checkpoints(directory / CHECKPOINTS)[-1]
    assert load_checkpoint(newest)["step"] == LAST
    assert all((directory / name).exists() for name in (CONFIG_FILE, LOCK_FILE, JOURNAL_FILE))
    assert run(directory, long_config(training={"epochs": 100, "max_steps": LAST + 2}), resume=True) == 0
    assert state_of(directory).step == LAST + 2


def test_checkpoints_that_are_deleted_are_said_and_one_is_written_in_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "run"
    plant(monkeypatch, {10: deleting(gone(directory / CHECKPOINTS))})
    assert run(directory, config()) == 0
    (message,) = alerts(directory)
    assert "while the run trained" in message and str(directory / CHECKPOINTS) in message
    saved = [entry for entry in entries(directory, e.CheckpointSaved) if entry.step >= 11]
    assert saved[0].step <= 12
    assert_whole(directory)


def test_a_journal_that_is_deleted_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "run"
    plant(monkeypatch, {10: deleting((directory / JOURNAL_FILE).unlink)})
    assert run(directory, config()) == 0
    (message,) = alerts(directory)
    assert "run.sqlite was deleted" in message and "all its rows" in message
    assert_whole(directory)


def test_a_run_directory_that_is_deleted_is_made_again_with_all_that_a_resume_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "run"
    plant(monkeypatch, {10: deleting(gone(directory))})
    assert run(directory, config()) == 0
    said = "\n".join(alerts(directory))
    assert "was deleted or moved away" in said and "deleted from" in said
    assert directory.stat().st_mode & 0o777 == 0o700
    assert_whole(directory)


def test_a_directory_that_vanishes_twice_is_made_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "run"
    delete = deleting(gone(directory))
    plant(monkeypatch, {8: delete, 16: delete})
    assert run(directory, config()) == 0
    assert sum("was deleted or moved away" in message for message in alerts(directory)) == 2
    assert_whole(directory)


def test_what_was_pruned_is_not_lost() -> None:
    names = ["a", "b", "c", "d"]
    assert lost_checkpoints(names, names, 2) == ()
    assert lost_checkpoints(names, ["b", "c", "d"], 2) == ()
    assert lost_checkpoints(names, ["c", "d", "e"], 2) == ()
    assert lost_checkpoints(names, ["e"], 1) == ()
    assert lost_checkpoints(names, ["a", "b", "d"], 2) == ("c",)
    assert lost_checkpoints(names, ["e"], 2) == ("a", "b", "c", "d")
    assert lost_checkpoints(names, [], 1) == ("a", "b", "c", "d")
