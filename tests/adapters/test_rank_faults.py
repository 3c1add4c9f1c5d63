"""A fault of the cockpit in one of several processes: all detach at one step, and none waits for another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.distributed import HashStore, distributed_c10d

from engine.adapters.capabilities import HUGGINGFACE
from engine.adapters.ranks import rank_words, trainer_ranks
from engine.adapters.ranks.rank_words import RankWords
from engine.adapters.trainers.trainer_run import TrainerRun
from engine.adapters.trainers.training import RunOptions, TrainerTraining
from engine.errors import UserError
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.commands import Command
from tests.adapters.own_loop import events, state_of
from tests.adapters.remote import notice
from tests.adapters.small_network import network
from tests.adapters.watched_program import until

STEPS = 30
At = Callable[["Rank", int], object]


class Rank:
    """One process of a training, as a thread: both have equal gradients and wait for each other, as in all-reduce."""

    def __init__(self, number: int, runs: Path, together: threading.Barrier) -> None:
        self.number, self.together = number, together
        self.model = network()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
        self.cockpit = TrainerRun(HUGGINGFACE, RunOptions("one", runs_dir=runs))
        self.rates: list[float] = []
        self.steps = 0

    def train(self, at: At) -> None:
        """Train, with `at` called inside each step; every hook survives as in the callbacks."""
        training = TrainerTraining({"": self.model}, [self.optimizer], {}, rank=self.number, num_ranks=2)
        self._survive(lambda: self.cockpit.open(training))
        for step in range(STEPS):
            self.together.wait(20)
            for parameter in self.model.parameters():
                parameter.grad = torch.full_like(parameter, 0.1 * (step % 3 + 1))
            self.together.wait(20)
            at(self, step)
            self.optimizer.step()
            self._survive(lambda: self.cockpit.end_step(0.0))
            self._survive(lambda: self.cockpit.boundary(lambda handed: ""))
            self.steps = step + 1
            if self.cockpit.is_stopping:
                break
        self.cockpit.end("complete")

    def _survive(self, hook: Callable[[], object]) -> None:
        try:
            hook()
        except UserError:
            raise
        except Exception as error:
            self.cockpit.detach(error)


@pytest.fixture
def ranks(runs: Path, monkeypatch: pytest.MonkeyPatch) -> list[Rank]:
    """Return two processes that share a store."""
    monkeypatch.delenv("TRAINING_COCKPIT_RAISE")
    store, one_at_a_time = HashStore(), threading.Lock()
    monkeypatch.setattr(distributed_c10d, "_get_default_store", lambda: store)

    def first_words(rank: int, num_ranks: int) -> RankWords:
        with one_at_a_time:  # processes have a count each
            monkeypatch.setattr(rank_words, "_count", 0)
            return RankWords(rank, num_ranks)

    monkeypatch.setattr(trainer_ranks, "RankWords", first_words)
    together = threading.Barrier(2)
    return [Rank(number, runs, together) for number in (0, 1)]


def train(ranks: list[Rank], at: At) -> list[BaseException | None]:
    """Train both and return their errors."""

    def one(rank: Rank) -> None:
        rank.optimizer.register_step_post_hook(lambda *_: None)  # of the program

        def note(opt: Any, *_: Any) -> None:
            rank.rates.append(opt.param_groups[0]["lr"])

        def noted(rank: Rank, step: int) -> None:
            if step == 0:
                rank.optimizer.register_step_pre_hook(note)  # after ours
            at(rank, step)

        try:
            rank.train(noted)
        except BaseException:
            rank.together.abort()
            raise

    with ThreadPoolExecutor(2) as pool:
        done = [pool.submit(one, rank) for rank in ranks]
        return [future.exception(60) for future in done]


def halve(rank: Rank, step: int) -> None:
    """Ask for half the rate after step 3."""
    if rank.number == 0 and step == 3:
        notice(rank.cockpit.run.directory, rank.cockpit.run, c.ScaleLr(0.5))


def slowly(at: At) -> At:
    """Give the cockpit's thread of rank 0 time to see the fault, whichever process has it."""

    def slow(rank: Rank, step: int) -> None:
        at(rank, step)
        if step > 8:
            time.sleep(0.03)
        if rank.number == 0 and step == STEPS - 8:
            until(lambda: is_detached(rank))

    return slow


def is_detached(rank: Rank) -> bool:
    """Return whether rank 0 has recorded the fault and closed its run; its hooks stay until the others have heard."""
    thread = rank.cockpit.run._thread
    return thread is not None and not thread._thread.is_alive()


def break_reader(rank: Rank, step: int) -> None:
    halve(rank, step)
    if rank.number == 1 and step == 8:
        assert rank.cockpit.hooks is not None
        rank.cockpit.hooks.readers[0].read = lambda: 1 / 0  # type: ignore[method-assign]


def break_recorder(rank: Rank, step: int) -> None:
    halve(rank, step)
    if rank.number == 0 and step == 8:
        rank.cockpit.run._records.record = lambda *_, **__: 1 / 0  # type: ignore[method-assign]


def break_boundary(rank: Rank, step: int) -> None:
    halve(rank, step)
    if rank.number == 0 and step == 8:
        rank.cockpit.run.boundary = lambda: 1 / 0  # type: ignore[method-assign]
        rank.cockpit.run._attention = True


def break_listener(rank: Rank, step: int) -> None:
    halve(rank, step)
    if rank.number == 1 and step == 8:
        rank.cockpit.knobs.adopt = lambda values: 1 / 0  # type: ignore[method-assign]
    if rank.number == 0 and step == 9:
        notice(rank.cockpit.run.directory, rank.cockpit.run, c.SetGradientClip(100.0))


@pytest.mark.parametrize(
    ("fault", "culprit"),
    [(break_reader, "rank 1: ZeroD"), (break_recorder, ""), (break_boundary, ""), (break_listener, "rank 1: ZeroD")],
    ids=["a hook of rank 1", "the thread of rank 0", "the boundary of rank 0", "a word in rank 1"],
)
def test_all_processes_detach_at_the_same_step(ranks: list[Rank], runs: Path, fault: At, culprit: str) -> None:
    errors = train(ranks, slowly(fault))
    assert errors == [None, None]
    first, second = ranks
    assert first.steps == second.steps == STEPS
    assert first.rates == second.rates, "the rate in force differed"
    assert first.rates[:3] == [0.1] * 3 and 0.05 in first.rates and first.rates[-1] == 0.1
    for one, other in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert all(rank.cockpit.hooks is None and len(rank.optimizer._optimizer_step_post_hooks) == 1 for rank in ranks)
    (alert,) = [event for event in events(runs / "one", e.AlertRaised) if event.kind == "detached"]
    assert culprit in alert.message and "ZeroDivisionError" in alert.message
    assert "ZeroDivisionError" in (runs / "one" / "console.log").read_text()
    assert events(runs / "one", e.RunFinished)[-1].reason == "detached"


def test_non_finite_gradients_change_no_rank_while_the_fault_is_on_its_way(ranks: list[Rank]) -> None:
    def poison(rank: Rank, step: int) -> None:
        break_reader(rank, step)
        if step == 8:
            next(rank.model.parameters()).grad[0] = float("nan")  # type: ignore[index]

    assert train(ranks, slowly(poison)) == [None, None]
    first, second = (nn.utils.parameters_to_vector(rank.model.parameters()) for rank in ranks)
    assert torch.equal(first, second) and bool(first.isfinite().all())


def test_a_fault_during_a_pause_ends_the_pause(ranks: list[Rank], runs: Path) -> None:
    def pause(rank: Rank, step: int) -> None:
        if rank.number == 0 and step == 5:
            notice(rank.cockpit.run.directory, rank.cockpit.run, c.Pause())
            rank.cockpit.run.upkeep = lambda: 1 / 0  # type: ignore[method-assign]

    assert train(ranks, slowly(pause)) == [None, None]
    assert [rank.steps for rank in ranks] == [STEPS, STEPS]
    assert state_of(runs / "one").step >= 5


@pytest.mark.parametrize("number", [0, 1])
def test_a_fault_at_the_start_leaves_all_without_the_cockpit(
    ranks: list[Rank], number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    ranks[number].cockpit._open = lambda training: 1 / 0  # type: ignore[method-assign]
    assert train(ranks, lambda rank, step: None) == [None, None]
    assert [rank.steps for rank in ranks] == [STEPS, STEPS]
    assert all(rank.cockpit.hooks is None and set(rank.rates) == {0.1} for rank in ranks)
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_run_that_cannot_begin_ends_all_processes_with_its_sentence(ranks: list[Rank], runs: Path) -> None:
    (runs / "one").mkdir(parents=True)
    (runs / "one" / "kept").write_text("")
    first, second = train(ranks, lambda rank, step: None)
    assert isinstance(first, UserError) and isinstance(second, UserError) and str(first) == str(second)


def test_a_callback_in_rank_0_only_is_noticed(ranks: list[Rank], monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import timedelta

    monkeypatch.setattr(rank_words, "_OPENING", timedelta(milliseconds=50))
    ranks[1].cockpit.open = lambda training: None  # type: ignore[method-assign]
    assert train(ranks, lambda rank, step: None) == [None, None]
    assert ranks[0].cockpit.hooks is None and ranks[0].steps == STEPS


@pytest.mark.parametrize("command", [c.Stop(), c.ScaleLr(0.5)])
def test_without_a_fault_commands_still_reach_all(ranks: list[Rank], command: Command) -> None:
    def ask(rank: Rank, step: int) -> None:
        if rank.number == 0 and step == 3:
            notice(rank.cockpit.run.directory, rank.cockpit.run, command)

    assert train(ranks, ask) == [None, None]
    assert ranks[0].steps == ranks[1].steps and ranks[0].rates == ranks[1].rates
    assert ranks[0].steps < STEPS or ranks[0].rates[-1] == 0.05
