"""An error of the task's own code: nothing that was trained before it is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.words.script import ScriptedCommand
from engine.training.data.spans import assemble
from engine.training.loss_sum import Objective
from engine.training.step import TrainStep
from tests.faulty import entries, run, same_weights, state_of
from tests.small import small_config

STEPS = {"epochs": 40, "max_steps": 6}
SPARSE = {"every_epochs": 0, "every_steps": 0}


class Fault(Exception):
    """An error of code that is not ours."""


def break_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise an error in the data of step 4, the second of its epoch."""

    def assembled(samples: Any, span: Any) -> Any:
        if span.epoch == 1 and span.start:
            raise Fault("a file of the task's own format")
        return assemble(samples, span)

    monkeypatch.setattr("engine.training.data.stream.assemble", assembled)


def break_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise an error in the first validation."""
    work = Objective.outputs

    def outputs(objective: Objective, model: Any, *rest: Any) -> Any:
        if not model.training:
            raise Fault("a score of the task")
        return work(objective, model, *rest)

    monkeypatch.setattr(Objective, "outputs", outputs)


def break_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise an error in step 4, after forward and backward of its first batch."""
    work: Callable[..., Any] = getattr(TrainStep, "_backward")  # noqa: B009
    passes: list[Any] = []

    def backward(step: TrainStep, *rest: Any) -> Any:
        passes.append(work(step, *rest))
        if len(passes) == 4:
            raise Fault("a loss of the task")
        return passes[-1]

    monkeypatch.setattr(TrainStep, "_backward", backward)


@pytest.mark.parametrize(("break_task", "trained"), [(break_data, 3), (break_validation, 2), (break_loss, 3)])
def test_an_error_of_the_task_leaves_a_checkpoint_and_the_resume_is_exact(
    tmp_path: Path, break_task: Callable[[pytest.MonkeyPatch], None], trained: int
) -> None:
    config = small_config(training=STEPS, checkpoint=SPARSE, validation={"every_epochs": 1})
    assert run(tmp_path / "usual", config) == 0
    with pytest.MonkeyPatch.context() as patched:
        break_task(patched)
        assert run(tmp_path / "run", config) == 1
    assert_saved(tmp_path / "run", trained)
    assert run(tmp_path / "run", config, resume=True) == 0
    assert same_weights(tmp_path / "usual", tmp_path / "run")


def test_an_error_of_the_task_in_a_validation_that_was_asked_for_leaves_a_checkpoint(tmp_path: Path) -> None:
    config = small_config(training=STEPS, checkpoint=SPARSE, validation={"every_epochs": 100})
    assert run(tmp_path / "usual", config) == 0
    with pytest.MonkeyPatch.context() as patched:
        break_validation(patched)
        assert run(tmp_path / "run", config, script=(ScriptedCommand(3, c.Validate(), 1),)) == 1
    assert_saved(tmp_path / "run", 3)
    assert run(tmp_path / "run", config, resume=True) == 0
    assert same_weights(tmp_path / "usual", tmp_path / "run")


def assert_saved(run_dir: Path, trained: int) -> None:
    """Assert that the run failed by a fault of the task after `trained` steps, and has the checkpoint of the last."""
    (failed,) = entries(run_dir, e.RunFailed)
    assert isinstance(failed.event, e.RunFailed) and failed.event.error.startswith("Fault: a ")
    saved = entries(run_dir, e.CheckpointSaved)[-1]
    assert isinstance(saved.event, e.CheckpointSaved) and saved.event.kind == "final"
    assert saved.step == state_of(run_dir).step == trained
