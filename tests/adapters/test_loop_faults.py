"""Non-finite steps of an own loop: they change nothing, and the operation is named."""

from __future__ import annotations

import errno
import logging
import math
import os
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cockpit import Cockpit
from engine.adapters.hooks.gradients.gradient_reader import GradientReader
from engine.adapters.replays.fork_replay import StepReplay
from engine.journal.reader import JournalReader
from engine.protocol import commands as c
from engine.protocol import events as e
from tests.adapters.own_loop import Training, assert_same, entries, events, rows, send, state_of, update, weights

Body = Callable[[Training, Any, Any], Tensor]


def test_a_poisoned_batch_changes_nothing_and_is_named(runs: Path) -> None:
    """Weights after it are those of a training that never drew it; the fault is the input's."""
    ours = Training(poison=(50,), shuffle=False, dropout=0.0)
    with ours.cockpit(runs, scheduler=None) as cockpit:
        ours.run(cockpit, 1)
    bare = Training(poison=(50,), shuffle=False, dropout=0.0)
    for number, (x, y) in enumerate(bare.loader):
        if number != 6:
            bare.ce(x, y).backward()
            bare.optimizer.step()
            bare.optimizer.zero_grad()
        bare.scheduler.step()
    assert_same(weights(ours.model), weights(bare.model))
    (skipped,) = events(runs / "one", e.StepSkipped)
    assert skipped.terms == ("ce",) and set(skipped.modules) == {"0.weight", "0.bias", "3.weight", "3.bias"}
    (named,) = events(runs / "one", e.FaultNamed)
    assert (named.at_step, named.verdict, named.direction, named.operation) == (7, "reproduced", "input", "input[0]")
    assert rows(runs / "one")[7]["skipped"] == 1.0
    assert (runs / "one" / named.folder / "report.txt").is_file()


@pytest.mark.parametrize("last", [False, True], ids=["in the middle", "in the last step"])
@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("data", ("input", "input[0]", "")),
        ("network", ("backward", "sqrt", "1")),
        ("loss", ("backward", "gradient of the network's output", "the loss")),
    ],
)
def test_on_an_accelerator_the_fault_is_named_one_step_late(
    runs: Path, place: str, said: tuple[str, str, str], last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No step waits for the verdict, so the network is repeated before the next update: the weights are the same."""
    monkeypatch.setattr(GradientReader, "is_read_now", property(lambda self: False))
    monkeypatch.setattr(StepReplay, "can_fork", property(lambda self: False))
    training = Training(shuffle=False)
    training.model = nn.Sequential(nn.Linear(4, 16), Root(), nn.BatchNorm1d(16), nn.Linear(16, 2))
    training.optimizer = torch.optim.AdamW(training.model.parameters(), lr=1e-2)
    poisoned = 11 if last else 6
    inputs = training.loader.dataset.tensors[0]  # pyright: ignore[reportAttributeAccessIssue]
    inputs[poisoned * 8] = {"data": math.nan, "network": 1e9, "loss": 99.0}[place]
    with training.cockpit(runs, scheduler=None) as cockpit:
        for x, y in cockpit.steps(training.loader):
            factor = math.nan if place == "loss" and bool((x == 99.0).any()) else 1.0
            cockpit.loss({"ce": training.ce(x, y) * factor}).backward()
            training.optimizer.step()
            training.optimizer.zero_grad()
    assert all(bool(torch.isfinite(value).all()) for value in training.model.state_dict().values())
    found = [entry.event for entry in entries(runs / "one") if isinstance(entry.event, e.StepSkipped | e.FaultNamed)]
    assert [type(event) for event in found] == [e.StepSkipped, e.FaultNamed]
    named: Any = found[1]
    assert (named.at_step, named.verdict) == (poisoned + 1, "reproduced")
    assert (named.direction, named.operation, named.module) == said
    assert [step for step, row in rows(runs / "one").items() if row["skipped"]] == [poisoned + 1]


class Root(nn.Module):
    """The square root of what is left of numbers that are not large: its gradient is infinite where that is 0."""

    def forward(self, x: Tensor) -> Tensor:
        """Return finite numbers."""
        return torch.sqrt(torch.where(x.abs() > 1e6, 0.0 * x, 1.0 + x.square()))


def faulty_log(training: Training, x: Tensor, y: Tensor) -> Tensor:
    """Return a loss whose logarithm is of a negative number in the seventh batch."""
    return torch.log(training.model(x).square().mean() * 0 + (1 if not bool((x == 9).any()) else -1))


def faulty_root(training: Training, x: Tensor, y: Tensor) -> Tensor:
    """Return a finite loss whose gradient divides by zero in the seventh batch."""
    factor = 0.0 if bool((x == 9).any()) else 1.0
    return (training.model(x) * factor).abs().sqrt().mean()


@pytest.mark.parametrize(
    ("body", "operation", "direction"),
    [(faulty_log, "log", "forward"), (faulty_root, "sqrt", "backward")],
    ids=["in the loss", "in its gradient"],
)
def test_the_operation_in_the_loop_is_named_with_its_line(
    runs: Path, body: Body, operation: str, direction: str
) -> None:
    """The same batches are run through the loop's body again, in a copy of the process."""
    training = Training(shuffle=False)
    training.loader.dataset.tensors[0][50] = 9.0  # pyright: ignore[reportAttributeAccessIssue]
    outside: list[int] = []
    with training.cockpit(runs) as cockpit:
        for x, y in cockpit.steps(training.loader):
            outside.append(cockpit.step)
            body(training, x, y).backward()
            nn.utils.clip_grad_norm_(training.model.parameters(), 1.0)
            training.optimizer.step()
            training.optimizer.zero_grad()
    assert outside == list(range(12)), "the repetition reached the training"
    (named,) = events(runs / "one", e.FaultNamed)
    assert (named.at_step, named.verdict, named.operation, named.direction) == (7, "reproduced", operation, direction)
    report = (runs / "one" / named.folder / "report.txt").read_text()
    assert f"test_loop_faults.py:{body.__code__.co_firstlineno + (2 if body is faulty_log else 3)}" in report


def test_a_fault_that_depends_on_a_counter_is_reported_with_the_reason_why_it_vanished(runs: Path) -> None:
    """The counter of the loop has moved on when its body is repeated."""
    training = Training(shuffle=False)
    count = 0
    with training.cockpit(runs) as cockpit:
        for x, y in cockpit.steps(training.loader):
            count += 1
            (training.ce(x, y) * (math.nan if count == 5 else 1.0)).backward()
            training.optimizer.step()
            training.optimizer.zero_grad()
    (named,) = events(runs / "one", e.FaultNamed)
    assert (named.at_step, named.verdict) == (5, "vanished on replay")
    assert "counters of the loop had moved on" in (runs / "one" / named.folder / "report.txt").read_text()


def test_an_exception_in_the_repeated_body_ends_the_copy_only(runs: Path, tmp_path: Path) -> None:
    """A loop that checks its loss raises again in the copy: its handlers must not run twice."""
    training = Training(poison=(50,), shuffle=False)
    handled = tmp_path / "handled"
    with training.cockpit(runs) as cockpit:
        try:
            for x, y in cockpit.steps(training.loader):
                loss = training.ce(x, y)
                if cockpit.step >= 7 and not math.isfinite(loss.item()):
                    raise FloatingPointError("seen again")
                loss.backward()
                training.optimizer.step()
                training.optimizer.zero_grad()
        except FloatingPointError:
            handled.write_text("twice")
    assert not handled.exists()
    assert state_of(runs / "one").step == 12


def test_a_fault_of_the_cockpit_does_not_end_the_training(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It detaches itself, says so, and the weights are those of a bare training."""
    monkeypatch.delenv("TRAINING_COCKPIT_RAISE")
    ours, bare = Training(), Training()
    torch.manual_seed(1)
    with ours.cockpit(runs) as cockpit:

        def each(cockpit: Cockpit, step: int) -> None:
            if step == 4:
                monkeypatch.setattr(cockpit._numbers, "reading", lambda update, weights: 1 / 0)

        ours.run(cockpit, 2, each)
    torch.manual_seed(1)
    for _ in range(2):
        for x, y in bare.loader:
            bare.ce(x, y).backward()
            bare.optimizer.step()
            bare.scheduler.step()
            bare.optimizer.zero_grad()
    assert_same(weights(ours.model), weights(bare.model))
    assert "ZeroDivisionError" in (runs / "one" / "console.log").read_text()
    assert events(runs / "one", e.RunFinished)[-1].reason == "detached"


def test_a_fault_during_a_pause_lets_the_training_go_on(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody could end the pause: the thread that reads commands is the one with the fault."""
    monkeypatch.delenv("TRAINING_COCKPIT_RAISE")
    training = Training()
    hooked: list[int] = []
    with training.cockpit(runs) as cockpit:

        def each(cockpit: Cockpit, step: int) -> None:
            hooked.append(len(training.optimizer._optimizer_step_pre_hooks))
            if step == 4:
                send(cockpit, c.Pause())
                monkeypatch.setattr(cockpit._run, "upkeep", lambda: 1 / 0)

        training.run(cockpit, 1, each)
    assert len(training.seen) == 12 and (hooked[0], hooked[-1]) == (1, 0)
    assert events(runs / "one", e.RunFinished)[-1].reason == "detached"
    log = logging.getLogger("engine")
    assert log.propagate and not log.handlers, "the log of the run is closed"


def test_a_step_that_cannot_be_repeated_for_want_of_memory_does_not_end_the_training(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> int:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr(os, "fork", refuse)
    training = Training(poison=(50,), shuffle=False, dropout=0.0)
    with training.cockpit(runs) as cockpit:
        training.run(cockpit, 1)
    assert len(training.seen) == 12 and state_of(runs / "one").skipped_steps == 1
    (named,) = events(runs / "one", e.FaultNamed)
    assert (named.at_step, named.verdict) == (7, "could not be replayed")
    (alert,) = [alert for alert in events(runs / "one", e.AlertRaised) if alert.kind == "fault"]
    assert "Cannot allocate memory" in alert.message


class _Odd:
    """A schedule whose state no checkpoint can hold."""

    def state_dict(self) -> dict[str, Any]:
        return {"rule": lambda step: step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None: ...


def test_a_state_that_no_checkpoint_can_hold_is_reported_and_does_not_stop_the_training(runs: Path) -> None:
    training = Training()
    with training.cockpit(runs, scheduler=_Odd(), checkpoint_every=2) as cockpit:
        training.run(cockpit, 1)
    assert len(training.seen) == 12
    failed = events(runs / "one", e.CheckpointFailed)
    assert len(failed) == 10 and all("stateful.scheduler.rule is of the type function" in one.error for one in failed)
    assert state_of(runs / "one").activity is e.Activity.FINISHED


class _Failing:
    """A schedule whose state cannot be asked for at the end."""

    def __init__(self) -> None:
        self.fails = False

    def state_dict(self) -> dict[str, Any]:
        if self.fails:
            raise RuntimeError("the device is lost")
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None: ...


def test_a_fault_in_the_last_checkpoint_does_not_end_the_program(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRAINING_COCKPIT_RAISE")
    training, schedule = Training(), _Failing()
    with training.cockpit(runs, scheduler=schedule) as cockpit:
        for _ in cockpit.epochs(1):
            for number, (x, y) in enumerate(cockpit.steps(training.loader)):
                if number == 5:
                    break
                cockpit.loss({"ce": training.ce(x, y)}).backward()
                training.optimizer.step()
        for x, y in cockpit.steps(training.loader):
            schedule.fails = True
            training.ce(x, y).backward()
            training.optimizer.step()
            break
    (finished,) = events(runs / "one", e.RunFinished)
    assert finished.reason == "complete"
    (failed,) = events(runs / "one", e.CheckpointFailed)
    assert "the device is lost" in failed.error
    with closing(JournalReader(runs / "one")) as reader:
        session = reader.heartbeat()
    assert session is not None and session.ended is not None


@pytest.mark.parametrize(("is_session", "activity"), [(False, "failed"), (True, "finished")])
def test_an_error_that_ends_a_program_without_a_block_ends_the_run_as_failed(
    runs: Path, monkeypatch: pytest.MonkeyPatch, is_session: bool, activity: str
) -> None:
    if is_session:
        monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    training = Training()
    cockpit = training.cockpit(runs)
    training.run(cockpit, 1)
    error = ZeroDivisionError("their own")
    monkeypatch.setattr(sys, "last_value", error, raising=False)
    monkeypatch.setattr(sys, "last_exc", error, raising=False)
    cockpit._at_exit()
    assert state_of(runs / "one").activity == activity
    assert [failed.error for failed in events(runs / "one", e.RunFailed)] == [
        "ZeroDivisionError: their own" for _ in range(not is_session)
    ]


def test_a_loop_without_steps_is_told(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It would find one step in its run, and no reason."""
    training = Training()
    with training.cockpit(runs) as cockpit:
        for x, y in training.loader:
            cockpit.loss(training.ce(x, y)).backward()
            training.optimizer.step()
    assert "no batch came from cockpit.steps(loader)" in capsys.readouterr().err
    assert len(rows(runs / "one")) == 1


def test_a_fault_of_one_of_two_optimizers_does_not_speak_of_both(runs: Path) -> None:
    """The other one's update is carried out."""
    first, second = Training(), Training()
    with Cockpit([first.model, second.model], [first.optimizer, second.optimizer], run="one", runs_dir=runs) as cockpit:
        for number, (x, y) in enumerate(cockpit.steps(first.loader)):
            for one in (first, second):
                one.optimizer.zero_grad()
                (one.ce(x, y) * (math.nan if one is second and number == 2 else 1)).backward()
                one.optimizer.step()
    (skipped,) = events(runs / "one", e.StepSkipped)
    assert skipped.reason.endswith("not finite; the updates from it were left out")


def test_a_fault_of_one_of_two_trainings_ends_neither_of_them(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lies between the program and torch: the gradients of the step are computed, and the other one is recorded."""
    monkeypatch.delenv("TRAINING_COCKPIT_RAISE", raising=False)
    first, second = Training(), Training()

    def broken() -> None:
        raise RuntimeError("broken")

    with first.cockpit(runs) as one, Cockpit(second.model, second.optimizer, run="two", runs_dir=runs) as two:
        for number, _ in zip(one.steps(range(5)), two.steps(range(5)), strict=True):
            if number == 2:
                monkeypatch.setattr(two._hooks, "forget_thrown_away", broken)
            update(first, next(first.model.parameters()).sum() * 0.0 + 1.0)
            update(second, next(second.model.parameters()).sum() * 0.0 + 2.0)
    assert [row["loss/total"] for row in rows(runs / "one").values()] == [1.0] * 5
    assert [alert.kind for alert in events(runs / "two", e.AlertRaised)] == ["detached"]


def test_a_fault_at_a_batch_without_an_update_does_not_end_the_loop(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRAINING_COCKPIT_RAISE", raising=False)

    def broken() -> None:
        raise RuntimeError("broken")

    training = Training()
    with training.cockpit(runs) as cockpit:
        monkeypatch.setattr(cockpit._numbers, "pass_batch", broken)
        assert list(cockpit.steps(range(5))) == list(range(5))
    assert [alert.kind for alert in events(runs / "one", e.AlertRaised)] == ["detached"]
