"""best.pt holds the weights of the best score, whether the epoch's end or a command asked for the validation."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest

from engine.journal.disk.run_dir import CHECKPOINTS
from engine.journal.reader import JournalReader
from engine.outputs.reproduction_report import ReproductionRequest
from engine.protocol import commands as c
from engine.protocol.words.script import ScriptedCommand
from engine.runtime.checkpointer import Checkpointer
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.reproduce.reproduce import reproduce
from engine.runtime.start.bootstrap import RunRequest
from engine.runtime.train import train
from engine.tasks.person.task import PersonTask
from engine.training.checkpoint.file import BEST, load_checkpoint
from tests.small import small_config

_VALIDATE = tuple(ScriptedCommand(step, c.Validate(), step) for step in (1, 3))
"""Validations in the middle of the two epochs, which have two steps each."""


def _with_scores(monkeypatch: pytest.MonkeyPatch, scores: Iterable[float]) -> None:
    left, metrics = iter(scores), PersonTask.metrics
    monkeypatch.setattr(PersonTask, "metrics", lambda *given: {**metrics(*given), "miou": next(left)})


def _best_step(directory: Path) -> int:
    return load_checkpoint(directory / CHECKPOINTS / BEST)["step"]


@pytest.mark.parametrize(
    ("scores", "step"), [((0.9, 0.5, 0.6, 0.7), 1), ((0.1, 0.9, 0.6, 0.7), 2), ((0.1, 0.2, 0.9, 0.7), 3)]
)
def test_the_best_checkpoint_is_that_of_the_best_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scores: tuple[float, ...], step: int
) -> None:
    _with_scores(monkeypatch, scores)
    assert train(RunRequest(tmp_path, small_config(), device="cpu", script=_VALIDATE), Interrupt()) == 0
    assert _best_step(tmp_path) == step


def test_a_reproduced_run_has_the_same_best_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _with_scores(monkeypatch, (0.9, 0.5, 0.6, 0.7) * 2)
    recorded = tmp_path / "recorded"
    recorded.mkdir()
    assert train(RunRequest(recorded, small_config(), device="cpu", script=_VALIDATE), Interrupt()) == 0
    report = reproduce(ReproductionRequest(recorded, tmp_path, "again"), Interrupt())
    assert report.identical and _best_step(tmp_path / "again") == 1


def test_a_rollback_keeps_the_best_checkpoint_and_checks_the_gate_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The score of step 3 stays the best one, although the step is trained again with a worse score."""
    _with_scores(monkeypatch, (0.1, 0.2, 0.9, 0.3, 0.3))
    settle, checked = Checkpointer.settle_rollback, list[str]()

    def settle_and_look(checkpointer: Checkpointer) -> None:
        settle(checkpointer)
        checked.extend(check.value for check in checkpointer.recorder.state.gate if check.name == "steps in phase")

    monkeypatch.setattr(Checkpointer, "settle_rollback", settle_and_look)
    script = (*_VALIDATE, ScriptedCommand(3, c.Rollback("step-00000002.pt"), 9))
    config = small_config(checkpoint={"every_steps": 1, "keep_last": 9})
    assert train(RunRequest(tmp_path, config, device="cpu", script=script), Interrupt()) == 0
    with closing(JournalReader(tmp_path)) as reader:
        state = reader.state()
    assert state is not None and (state.best_score, state.best_step) == (0.9, 3) and _best_step(tmp_path) == 3
    assert checked == ["2"]
