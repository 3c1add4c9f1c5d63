"""Files of a run that are deleted during training: an alert reports it, and they are written again."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import engine.runtime.outages.run_directory
import engine.runtime.validator
from engine.journal.disk.run_dir import CHECKPOINTS, CONFIG_FILE, JOURNAL_FILE, LOCK_FILE
from engine.protocol import events as e
from engine.runtime.checkpointer import Checkpointer
from engine.runtime.outages.inventory import Inventory, lost_checkpoints
from engine.tasks.person.config import PersonConfig
from engine.tasks.person.spec import SPEC
from engine.training.checkpoint.file import Snapshot, list_checkpoints, load_checkpoint
from engine.training.checkpoint.writer import Written
from engine.training.data.batch import Batch
from engine.training.step import TrainStep
from engine.training.validation.evaluate import evaluate
from engine.training.validation.result import Validation
from tests.faults.planted import Plant, plant
from tests.faulty import entries, long_config, run, state_of

LAST = 24
NUM_BEST = 7
"""The validations up to step 14 are each the best so far. The last bits of a processor must not decide that."""


@pytest.fixture(autouse=True)
def _best_at_first(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    scores = chain((number / LAST for number in range(NUM_BEST)), repeat(0.0))

    def evaluated(*parts: Any) -> Validation | None:
        done = evaluate(*parts)
        assert done is not None
        metrics = {**done.summary.metrics, SPEC.score: next(scores)}
        return replace(done, summary=replace(done.summary, metrics=metrics))

    monkeypatch.setattr(engine.runtime.validator, "evaluate", evaluated)


class Watched:
    """The checkpointer of the run, and the clock of the looks at its directory: one before each step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_looking = True
        self._now = 0
        self._checkpointer: Checkpointer
        note_written = Checkpointer.note_written

        def noting(checkpointer: Checkpointer) -> None:
            self._checkpointer = checkpointer
            note_written(checkpointer)

        monkeypatch.setattr(Checkpointer, "note_written", noting)
        monkeypatch.setattr(engine.runtime.outages.run_directory, "time", SimpleNamespace(monotonic=self._clock))

    def _clock(self) -> int:
        self._now += self.is_looking
        return self._now

    def doing(self, act: Callable[[], None]) -> Plant:
        """`act` during a step, between two checkpoints; then the journal's thread looks after its files."""

        @contextmanager
        def planted(train_step: TrainStep, batches: Sequence[Batch]) -> Generator[None]:
            self._checkpointer.wait_for_checkpoints()
            act()
            assert self._checkpointer.recorder.journal.flush(60)
            yield

        return planted

    def look_again(self) -> None:
        self.is_looking = True


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(monkeypatch)


def gone(directory: Path) -> Callable[[], None]:
    """Delete the directory in one moment: files may just be written to it."""

    def act() -> None:
        shutil.rmtree(directory.rename(directory.parent / "deleted"), ignore_errors=True)

    return act


def config() -> PersonConfig:
    """A checkpoint after each validation that is the best one, the first `NUM_BEST`."""
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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watched: Watched
) -> None:
    directory = tmp_path / "run"
    plant(monkeypatch, {10: watched.doing(gone(directory / CHECKPOINTS))})
    assert run(directory, config()) == 0
    (message,) = alerts(directory)
    assert "2 checkpoints up to step-00000010.pt were deleted" in message and "is saved there next" in message
    assert "while the run trained" in message and str(directory / CHECKPOINTS) in message
    assert saved_after(directory, 10)[0] == "step-00000011.pt"
    assert_whole(directory)


@pytest.mark.slow
def test_checkpoints_that_are_deleted_are_said_also_if_later_ones_were_written_before_the_next_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watched: Watched
) -> None:
    directory = tmp_path / "run"

    def delete() -> None:
        watched.is_looking = False
        gone(directory / CHECKPOINTS)()

    plant(monkeypatch, {10: watched.doing(delete), 15: watched.doing(watched.look_again)})
    assert run(directory, config()) == 0
    (message,) = alerts(directory)
    assert "2 checkpoints up to step-00000010.pt were deleted" in message and "is saved there next" not in message
    assert "step-00000014.pt was saved there since" in message
    assert saved_after(directory, 10) == ["step-00000012.pt", "step-00000014.pt", "step-00000024.pt"]
    assert_whole(directory)


def saved_after(directory: Path, step: int) -> list[str]:
    """The checkpoints after the step, in their order."""
    found = (entry.event for entry in entries(directory, e.CheckpointSaved))
    names = [event.path for event in found if isinstance(event, e.CheckpointSaved)]
    return [name for name in names if name > f"step-{step:08d}.pt"]


def test_a_journal_that_is_deleted_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watched: Watched
) -> None:
    directory = tmp_path / "run"
    plant(monkeypatch, {10: watched.doing((directory / JOURNAL_FILE).unlink)})
    assert run(directory, config()) == 0
    (message,) = alerts(directory)
    assert "run.sqlite was deleted" in message and "all its rows" in message
    assert_whole(directory)


def test_a_run_directory_that_is_deleted_is_made_again_with_all_that_a_resume_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watched: Watched
) -> None:
    directory = tmp_path / "run"
    plant(monkeypatch, {10: watched.doing(gone(directory))})
    assert run(directory, config()) == 0
    said = "\n".join(alerts(directory))
    assert "was deleted or moved away" in said and "deleted from" in said
    assert directory.stat().st_mode & 0o777 == 0o700
    assert_whole(directory)


@pytest.mark.slow
def test_a_directory_that_vanishes_twice_is_made_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watched: Watched
) -> None:
    directory = tmp_path / "run"
    delete = watched.doing(gone(directory))
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


def test_what_was_known_before_the_directory_was_made_again_is_lost_once() -> None:
    snapshot = Snapshot(step=1, kind="step", payload={}, loss=1.0, score=None, good=True, best=True)
    inventory = Inventory(2)
    inventory.note(Written(snapshot, "a", 0.1, left=("a",), made_directory=True))
    for name, left in (("b", "ab"), ("c", "bc")):
        inventory.note(Written(snapshot, name, 0.1, left=tuple(left)))
    assert inventory.check(["b", "c"]) == []
    inventory.note(Written(snapshot, "d", 0.1, "the disk is full", made_directory=True))
    for name, left in (("e", "e"), ("f", "ef")):
        inventory.note(Written(snapshot, name, 0.1, left=tuple(left)))
    assert inventory.check(["e", "f"]) == ["b", "c"]
    assert inventory.check(["e", "f"]) == []
    assert inventory.check([], also=["e"]) == ["e", "f"]


def test_one_checkpoint_that_is_deleted_before_the_next_two_is_lost() -> None:
    snapshot = Snapshot(step=1, kind="step", payload={}, loss=1.0, score=None, good=True, best=True)
    inventory = Inventory(2)
    for name, left in (("a", "a"), ("b", "ab"), ("c", "ac"), ("d", "cd")):
        inventory.note(Written(snapshot, name, 0.1, left=tuple(left)))
    assert inventory.check(["c", "d"]) == ["b"]


def test_a_checkpoint_that_a_check_has_seen_before_the_note_of_an_earlier_one_is_not_lost() -> None:
    """The writer has finished `c`, and is about to prune `b` for `d`, when the directory is looked at."""
    snapshot = Snapshot(step=1, kind="step", payload={}, loss=1.0, score=None, good=True, best=True)
    inventory = Inventory(2)
    for name, left in (("a", "a"), ("b", "ab")):
        inventory.note(Written(snapshot, name, 0.1, left=tuple(left)))
    assert inventory.check(["b", "c", "d"]) == []
    for name, left in (("c", "bc"), ("d", "cd"), ("e", "de"), ("f", "ef")):
        inventory.note(Written(snapshot, name, 0.1, left=tuple(left)))
    assert inventory.check(["e", "f"]) == []
    inventory.note(Written(snapshot, "g", 0.1, left=("f", "g")))
    assert inventory.check(["g"]) == ["f"]


def test_a_checkpoint_that_was_seen_before_the_note_of_a_new_directory_is_not_lost_with_the_former_one() -> None:
    snapshot = Snapshot(step=1, kind="step", payload={}, loss=1.0, score=None, good=True, best=True)
    inventory = Inventory(1)
    inventory.note(Written(snapshot, "a", 0.1, left=("a",)))
    assert inventory.check(["b", "c"]) == []
    inventory.note(Written(snapshot, "b", 0.1, left=("b",), made_directory=True))
    for name in "cd":
        inventory.note(Written(snapshot, name, 0.1, left=(name,)))
    assert inventory.check(["d"]) == []


def test_a_listing_that_is_read_during_a_write_calls_nothing_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watched: Watched
) -> None:
    """The listing lacks the checkpoint that is just renamed, and the one that is pruned for it."""
    real = engine.runtime.outages.run_directory.list_checkpoints
    former: list[Path] = []
    torn: list[str] = []

    def listing(directory: Path) -> list[Path]:
        found = real(directory)
        if directory.name != CHECKPOINTS:
            return found
        pruned = [path for path in former if path not in found]
        former[:] = found
        if pruned and not torn:
            torn.append(found[-1].name)
            return found[:-1]
        return found

    monkeypatch.setattr(engine.runtime.outages.run_directory, "list_checkpoints", listing)
    directory = tmp_path / "run"
    assert run(directory, config()) == 0
    assert torn and not alerts(directory)
    assert_whole(directory)
