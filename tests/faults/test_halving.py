"""Memory that runs out in a step: the step is undone, the batch halved, and each update has the samples that it had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from engine.errors import UserError
from engine.outputs.reproduction_report import ReproductionRequest
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.words.script import ScriptedCommand
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.outages.memory import OUT_OF_MEMORY
from engine.runtime.reproduce.reproduce import reproduce
from engine.tasks.person.task import PersonTask
from engine.training.data.batch import Batch
from engine.training.loss_sum import Objective
from engine.training.optimizer import EagerAdamW, build_optimizer
from engine.training.step import TrainStep
from engine.training.step_plan import StepPlan
from tests.faulty import entries, run, same_weights, series, state_of
from tests.small import small_config

CUDA = "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.11 GiB"
STEPS: Mapping[str, object] = {"epochs": 40, "max_steps": 8}
PLACES = {
    "forward": (Objective, "outputs"),
    "backward": (torch.Tensor, "backward"),
    "moments": (EagerAdamW, "_init_group"),  # torch gives each optimizer its own once it has compiled something
    "update": (EagerAdamW, "step"),
}


def shorten(monkeypatch: pytest.MonkeyPatch, place: str, *, fits: int = 2, at: int | None = None) -> None:
    """Raise the device's error after the work at `place`, of step `at` or of all, if a batch has more than `fits`."""
    owner, name = PLACES[place]
    work, run_step, is_short = getattr(owner, name), TrainStep.run, [False]

    def fail(*args: Any, **more: Any) -> Any:
        done = work(*args, **more)
        if is_short[0]:
            raise torch.OutOfMemoryError(CUDA)
        return done

    def armed(train_step: TrainStep, batches: Sequence[Batch], plan: StepPlan) -> Any:
        is_short[0] = at in (None, plan.step) and max(map(len, batches)) > fits
        try:
            return run_step(train_step, batches, plan)
        finally:
            is_short[0] = False

    monkeypatch.setattr(owner, name, fail)
    monkeypatch.setattr(TrainStep, "run", armed)


def changes(directory: Path) -> list[tuple[int, str, str, int, int]]:
    """Return the changes of batch size and accumulation: step, actor, event, before, after."""
    found = entries(directory, e.BatchSizeSet, e.AccumulationSet)
    return [(f.step, f.actor, type(f.event).__name__, f.event.before, f.event.after) for f in found]  # type: ignore[union-attr]


def alerts(directory: Path) -> list[str]:
    found = [entry.event for entry in entries(directory, e.AlertRaised)]
    return [event.message for event in found if isinstance(event, e.AlertRaised) and event.kind == OUT_OF_MEMORY]


def halved(step: int) -> list[tuple[int, str, str, int, int]]:
    return [(step, "guardian", "BatchSizeSet", 4, 2), (step, "guardian", "AccumulationSet", 1, 2)]


def at_step(step: int, *commands: c.Command) -> tuple[ScriptedCommand, ...]:
    return tuple(ScriptedCommand(step, command, line) for line, command in enumerate(commands, 1))


@pytest.fixture(scope="module")
def small_batches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with the smaller batches from the start."""
    directory = tmp_path_factory.mktemp("runs") / "small"
    assert run(directory, small_config(training={**STEPS, "batch_size": 2, "accumulation": 2})) == 0
    return directory


@pytest.mark.parametrize(
    ("place", "part"),
    [("forward", "forward"), pytest.param("backward", "backward", marks=pytest.mark.slow), ("moments", "optimizer")],
)
def test_memory_that_runs_out_in_a_step_halves_the_batch_and_changes_no_update(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_batches: Path, place: str, part: str
) -> None:
    shorten(monkeypatch, place, at=0)
    assert run(tmp_path / "run", small_config(training=STEPS)) == 0
    assert changes(tmp_path / "run") == halved(0)
    assert alerts(tmp_path / "run") == [
        f"out of memory at step 1 in {part} (20.00 GiB asked): batch size 4 -> 2, accumulation 1 -> 2; "
        "samples per update stay"
    ]
    assert series(tmp_path / "run", "loss/total") == series(small_batches, "loss/total")
    assert same_weights(tmp_path / "run", small_batches)


@pytest.mark.parametrize("place", ["forward", pytest.param("backward", marks=pytest.mark.slow)])
def test_a_later_step_is_repeated_as_if_the_batch_had_been_halved_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    script = at_step(3, c.SetBatchSize(2), c.SetAccumulation(2))
    assert run(tmp_path / "by-hand", small_config(training=STEPS), script=script) == 0
    shorten(monkeypatch, place, at=3)
    assert run(tmp_path / "run", small_config(training=STEPS)) == 0
    assert changes(tmp_path / "run") == halved(3)
    assert series(tmp_path / "run", "loss/total") == series(tmp_path / "by-hand", "loss/total")
    assert same_weights(tmp_path / "run", tmp_path / "by-hand")


def test_an_update_that_was_half_done_is_taken_back_to_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten(monkeypatch, "update", at=3)
    assert run(tmp_path / "run", small_config(training=STEPS, checkpoint={"every_steps": 2, "every_epochs": 0})) == 0
    (back,) = entries(tmp_path / "run", e.RolledBack)
    assert isinstance(back.event, e.RolledBack) and (back.event.before, back.event.after) == (3, 2)
    assert changes(tmp_path / "run") == halved(2)
    script = at_step(2, c.SetBatchSize(2), c.SetAccumulation(2))
    assert run(tmp_path / "by-hand", small_config(training=STEPS), script=script) == 0
    assert series(tmp_path / "run", "loss/total") == series(tmp_path / "by-hand", "loss/total")


def test_one_sample_that_does_not_fit_is_refused_at_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten(monkeypatch, "forward", fits=0)
    said = r"a training step of one sample \(20.00 GiB more were asked for, the device has 79.11 GiB\): lower the sizes"
    with pytest.raises(UserError, match=said):
        run(tmp_path / "run", small_config(training=STEPS))
    assert [text.partition(": ")[2] for text in alerts(tmp_path / "run")] == [
        "batch size 4 -> 2, accumulation 1 -> 2; samples per update stay",
        "batch size 2 -> 1, accumulation 2 -> 4; samples per update stay",
    ]


def test_one_sample_that_no_longer_fits_ends_the_run_which_resumes_with_small_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(training=STEPS, checkpoint={"every_epochs": 0})
    with monkeypatch.context() as patched:
        shorten(patched, "backward", fits=0, at=5)
        assert run(tmp_path / "run", config) == 1
    (failed,) = entries(tmp_path / "run", e.RunFailed)
    assert isinstance(failed.event, e.RunFailed) and "of one sample (20.00 GiB more" in failed.event.error
    assert state_of(tmp_path / "run").last_checkpoint == "step-00000005.pt"
    assert run(tmp_path / "run", config, resume=True) == 0
    state = state_of(tmp_path / "run")
    assert (state.batch_size, state.accumulation, state.step) == (1, 4, 8)


def test_a_resume_and_a_redrive_repeat_the_halving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch, "backward", at=3)
    assert run(tmp_path / "whole", small_config(training=STEPS)) == 0
    assert run(tmp_path / "parts", small_config(training={**STEPS, "max_steps": 5})) == 0
    monkeypatch.undo()
    assert run(tmp_path / "parts", small_config(training=STEPS), resume=True) == 0
    assert same_weights(tmp_path / "whole", tmp_path / "parts")
    report = reproduce(ReproductionRequest(tmp_path / "whole", tmp_path, "again"), Interrupt())
    assert report.difference is None and report.checkpoint and not report.tensor
    assert changes(tmp_path / "again") == halved(3) and not alerts(tmp_path / "again")


@pytest.mark.parametrize(("at", "more"), [(0, []), (None, halved(2))])
def test_the_former_size_is_tried_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int | None, more: list[tuple[int, str, str, int, int]]
) -> None:
    shorten(monkeypatch, "forward", at=at)
    guard = {"recovery": {"memory_retry_steps": 2}}
    assert run(tmp_path / "run", small_config(training=STEPS, guard=guard)) == 0
    back = [(2, "guardian", "BatchSizeSet", 2, 4), (2, "guardian", "AccumulationSet", 2, 1)]
    assert changes(tmp_path / "run") == [*halved(0), *back, *more]


def test_a_size_set_by_hand_is_not_replaced_by_the_former_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch, "forward", at=0)
    guard, script = {"recovery": {"memory_retry_steps": 2}}, at_step(1, c.SetBatchSize(1))
    assert run(tmp_path / "run", small_config(training=STEPS, guard=guard), script=script) == 0
    assert changes(tmp_path / "run") == [*halved(0), (1, "script", "BatchSizeSet", 2, 1)]


def test_an_odd_batch_is_divided_by_its_smallest_factor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch, "forward", fits=1, at=0)
    assert run(tmp_path / "run", small_config(training={**STEPS, "batch_size": 3, "max_steps": 2})) == 0
    assert [change[-1] for change in changes(tmp_path / "run")] == [1, 3]


def test_data_that_do_not_fit_are_drawn_again_in_smaller_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_batches: Path
) -> None:
    move = Batch.to

    def fail(batch: Batch, device: torch.device) -> Batch:
        if len(batch) > 2:
            raise torch.OutOfMemoryError(CUDA)
        return move(batch, device)

    monkeypatch.setattr(Batch, "to", fail)
    assert run(tmp_path / "run", small_config(training=STEPS, validation={"batch_size": 2})) == 0
    assert changes(tmp_path / "run") == halved(0) and "while its data were prepared" in alerts(tmp_path / "run")[0]
    assert same_weights(tmp_path / "run", small_batches)


@pytest.mark.slow
def test_the_loss_scale_of_fp16_takes_the_repeated_step_for_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = {**STEPS, "mixed_precision": True, "amp_dtype": "fp16"}
    assert run(tmp_path / "small", small_config(training={**training, "batch_size": 2, "accumulation": 2})) == 0
    shorten(monkeypatch, "moments", at=0)
    assert run(tmp_path / "run", small_config(training=training)) == 0
    assert changes(tmp_path / "run") == halved(0)
    assert same_weights(tmp_path / "run", tmp_path / "small")


def test_undoing_a_step_restores_batch_statistics_and_tells_of_other_buffers() -> None:
    model, buffer = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)), torch.zeros(1)
    model.register_buffer("count", buffer)
    optimizer = build_optimizer("adamw", dict(model.named_children()), 0.0, ())
    train_step = TrainStep(Objective(PersonTask(), small_config()), model, optimizer)
    before, footing = {name: value.clone() for name, value in model.state_dict().items()}, train_step.footing()
    model(torch.randn(4, 3)).sum().backward()
    assert not torch.equal(model.state_dict()["1.running_mean"], before["1.running_mean"])
    assert train_step.undo(footing)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    buffer.add_(1)
    assert not train_step.undo(footing)
