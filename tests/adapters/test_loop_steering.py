"""Commands, rollback and resume of an own loop."""

from __future__ import annotations

import copy
import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cockpit import Cockpit
from engine.errors import UserError
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.commands import Command
from engine.protocol.events import Activity, Status
from tests.adapters.own_loop import Training, assert_equal, assert_same, entries, events, rows, send, state_of, weights
from tests.adapters.watched_program import until


def test_commands_of_another_process_take_effect_between_two_steps(runs: Path) -> None:
    """Rate, clip, weight, knob, note: each has its outcome in the journal and its effect in the loop."""
    training = Training()
    rates: list[float] = []
    temperatures: list[Any] = []
    sent = (
        c.SetLr(1e-3),
        c.SetGradientClip(0.5),
        c.SetLossWeight("ce", 2.0),
        c.SetKnob("temperature", 1.5),
        c.AddNote("looks good"),
    )

    with training.cockpit(runs) as cockpit:
        training.optimizer.register_step_pre_hook(lambda o, a, k: rates.append(o.param_groups[0]["lr"]))
        temperature = cockpit.knob("temperature", 0.7, low=0.1, high=2.0)

        def each(cockpit: Cockpit, step: int) -> None:
            temperatures.append(temperature())
            if step == 3:
                for command in sent:
                    send(cockpit, command)

        training.run(cockpit, 1, each)
    assert temperatures[:4] == [0.7] * 4 and temperatures[4:] == [1.5] * 8
    assert rates[4] == 1e-3
    found = rows(runs / "one")
    assert found[5]["lr"] == pytest.approx(1e-3) and found[4]["lr"] > 9e-3
    assert found[5]["loss/ce"] == pytest.approx(2 * found[5]["loss_raw/ce"], rel=1e-6)
    assert training.seen[4][1] == pytest.approx(found[5]["loss/total"], rel=1e-6)
    state = state_of(runs / "one")
    assert state.gradient_clip == 0.5 and state.knobs["temperature"].value == 1.5
    answered = [entry for entry in entries(runs / "one") if entry.command_id]
    assert [entry.status for entry in answered] == [Status.APPLIED] * 5


@pytest.mark.parametrize(
    ("command", "instead"),
    [
        (c.PromotePhase(), "Task"),
        (c.SetBatchSize(4), "loader"),
        (c.SetOptimizer("adam"), "program"),
        (c.Validate(), "cockpit.validated"),
        (c.EnableRefinement("x"), "knob"),
    ],
)
def test_a_command_that_cannot_be_carried_out_is_refused_with_what_to_use(
    runs: Path, command: Command, instead: str
) -> None:
    """A refusal that does not say what to do is half an answer."""
    training = Training()
    with training.cockpit(runs) as cockpit:
        training.run(cockpit, 1, lambda cockpit, step: send(cockpit, command) if step == 3 else None)
    (answer,) = [entry for entry in entries(runs / "one") if entry.command_id]
    assert answer.status is Status.REFUSED and instead in answer.reason


def test_pause_step_and_resume(runs: Path) -> None:
    """A granted step is one optimizer step; the loop waits inside `steps`."""
    training = Training()
    seen: list[int] = []
    seen_in_pause: list[int] = []
    with training.cockpit(runs) as cockpit:

        def resume() -> None:
            until(lambda: state_of(cockpit.directory).activity is Activity.PAUSED)
            time.sleep(0.2)  # in which the loop must not go on
            seen_in_pause.extend(seen)
            send(cockpit, c.Resume())

        resuming = threading.Thread(target=resume)

        def each(cockpit: Cockpit, step: int) -> None:
            seen.append(step)
            if step == 3:
                send(cockpit, c.RunSteps(2))
                resuming.start()

        training.run(cockpit, 1, each)
        resuming.join()
    assert seen_in_pause == [0, 1, 2, 3, 4, 5], "paused after the two granted steps, 4 and 5"
    assert seen == list(range(12))
    assert [type(event) for event in events(runs / "one", e.StepsGranted, e.Paused, e.Resumed)] == [
        e.StepsGranted,
        e.Paused,
        e.Resumed,
    ]


def test_a_stop_ends_the_block_with_a_checkpoint_and_the_program_goes_on(runs: Path) -> None:
    """What follows the `with` block, such as the final evaluation, still runs."""
    training = Training()
    with training.cockpit(runs) as cockpit:
        training.run(cockpit, 5, lambda cockpit, step: send(cockpit, c.Stop()) if step == 3 else None)
    assert [step for step, _ in training.seen] == [0, 1, 2, 3]
    state = state_of(runs / "one")
    assert (state.step, state.activity, state.last_checkpoint) == (4, Activity.FINISHED, "step-00000004.pt")


def test_without_with_a_stop_ends_all_epochs(runs: Path) -> None:
    """No exception that a program does not know reaches it."""
    training = Training()
    cockpit = training.cockpit(runs)
    for _ in range(5):
        for x, y in cockpit.steps(training.loader):
            training.ce(x, y).backward()
            training.optimizer.step()
            training.optimizer.zero_grad()
            if cockpit.step == 3:
                send(cockpit, c.Stop())
    cockpit.close()
    assert state_of(runs / "one").step == 4


def test_a_rollback_restores_weights_moments_and_schedule(runs: Path) -> None:
    """The checkpoint of the first epoch comes back in the middle of the second."""
    training = Training()
    at: dict[int, Any] = {}

    def everything() -> Any:
        return copy.deepcopy(
            (training.model.state_dict(), training.optimizer.state_dict(), training.scheduler.state_dict())
        )

    with training.cockpit(runs) as cockpit:

        def each(cockpit: Cockpit, step: int) -> None:
            if step == 12 and 12 not in at:
                at[12] = everything()
            elif step == 12:
                at[-1] = everything()
            if step == 15 and 15 not in at:
                at[15] = everything()
                send(cockpit, c.Rollback("12"))

        training.run(cockpit, 2, each)
    assert_equal(at[-1], at[12])
    (back,) = events(runs / "one", e.RolledBack)
    assert (back.before, back.after) == (16, 12)
    assert state_of(runs / "one").gate == ()


@pytest.mark.parametrize("stop_at", [5, 11, 17], ids=["first epoch", "end of an epoch", "second epoch"])
@pytest.mark.parametrize("shuffle", [True, False])
def test_a_resumed_training_ends_bit_for_bit_as_if_it_had_not_been_stopped(
    runs: Path, stop_at: int, shuffle: bool
) -> None:
    """Weights, moments, schedule, generators, and the order of a shuffled loader in the middle of an epoch."""
    whole = Training(shuffle=shuffle)
    torch.manual_seed(5)
    with whole.cockpit(runs / "whole") as cockpit:
        whole.run(cockpit, 3)

    part = Training(shuffle=shuffle)
    torch.manual_seed(5)
    with part.cockpit(runs) as cockpit:
        part.run(cockpit, 3, lambda cockpit, step: send(cockpit, c.Stop()) if step == stop_at else None)
    assert state_of(runs / "one").step == stop_at + 1

    rest = Training(shuffle=shuffle)
    torch.manual_seed(99)
    with rest.cockpit(runs, resume=True) as cockpit:
        assert cockpit.step == stop_at + 1
        rest.run(cockpit, 3)
    assert [*part.seen, *rest.seen] == whole.seen
    assert_same(weights(rest.model), weights(whole.model))
    assert state_of(runs / "one").step == 36


class CountingLoader:
    """A loader with a state of its own."""

    def __init__(self, training: Training) -> None:
        self._batches = list(training.loader)
        self.at = 0
        self.reads = 0

    def __iter__(self) -> Iterator[Any]:
        while self.at < len(self._batches):
            self.at += 1
            self.reads += 1
            yield self._batches[self.at - 1]
        self.at = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the position."""
        return {"at": self.at}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the position."""
        self.at = state_dict["at"]


def test_a_loader_with_a_state_is_not_read_again(runs: Path) -> None:
    """It is brought to its place by its own state."""
    part = Training(shuffle=False)
    loader = CountingLoader(part)
    part.loader = loader  # pyright: ignore[reportAttributeAccessIssue]
    with part.cockpit(runs) as cockpit:
        part.run(cockpit, 1, lambda cockpit, step: send(cockpit, c.Stop()) if step == 4 else None)
    rest = Training(shuffle=False)
    again = CountingLoader(rest)
    rest.loader = again  # pyright: ignore[reportAttributeAccessIssue]
    with rest.cockpit(runs, resume=True) as cockpit:
        rest.run(cockpit, 1)
    assert (loader.reads, again.reads) == (5, 7)


def test_a_knob_of_numbers_of_numpy_is_declared_as_plain_ones(runs: Path) -> None:
    training = Training()
    with training.cockpit(runs) as cockpit:
        handle = cockpit.knob("tau", np.float32(0.5), np.float32(0.25), np.int64(2))
        assert handle() == 0.5 and type(handle()) is float
        training.run(cockpit, 1)
    knob = state_of(runs / "one").knobs["tau"]
    assert (knob.value, knob.low, knob.high) == (0.5, 0.25, 2)


def test_a_learning_rate_that_is_a_number_of_numpy_is_resumed(runs: Path) -> None:
    for resume in (False, True):
        training = Training()
        for group in training.optimizer.param_groups:
            group["lr"] = np.float64(0.02)
        with training.cockpit(runs, scheduler=None, resume=resume) as cockpit:
            training.run(cockpit, 2 if resume else 1)
    assert state_of(runs / "one").step == 24 and not events(runs / "one", e.CheckpointFailed)


def test_the_same_name_twice_is_refused(runs: Path) -> None:
    """Nothing of a finished run is overwritten."""
    training = Training()
    with training.cockpit(runs) as cockpit:
        training.run(cockpit, 1)
    with pytest.raises(UserError, match="exists"):
        Training().cockpit(runs)


def test_a_checkpoint_of_another_network_is_refused(runs: Path) -> None:
    """The sentence names the first tensor that does not fit."""
    training = Training()
    with training.cockpit(runs) as cockpit:
        training.run(cockpit, 1)
    other = Training()
    other.model = nn.Sequential(nn.Linear(4, 7), nn.Linear(7, 2))
    other.optimizer = torch.optim.AdamW(other.model.parameters())
    with pytest.raises(UserError, match=r"'0\.weight' is \(16, 4\) there and \(7, 4\)"):
        other.cockpit(runs, resume=True, scheduler=None)


def test_the_guardian_returns_to_the_last_good_checkpoint(runs: Path) -> None:
    """After five non-finite steps of twenty the weights are the checkpoint's, and the rate is halved."""
    training = Training()
    poisoned: list[int] = []

    def each(cockpit: Cockpit, step: int) -> None:
        if step == 15 and not poisoned:
            poisoned.append(step)
            with torch.no_grad():
                training.model[3].bias.add_(math.nan)

    with training.cockpit(runs, guardian=True) as cockpit:
        training.run(cockpit, 3, each)
    (back,) = events(runs / "one", e.RolledBack)
    assert (back.before, back.after) == (20, 12), "at the fifth non-finite step"
    assert state_of(runs / "one").lr_scale == 0.5
    assert all(bool(torch.isfinite(p).all()) for p in training.model.parameters())


@pytest.mark.parametrize(
    ("value", "bounds", "said"),
    [
        (3.0, {"low": 0.0, "high": 2.0}, "outside 0..2"),
        (1.0, {"low": 2.0, "high": 0.0}, "low 2 is above high 0"),
        ("a", {"choices": ("b", "c")}, "not one of b, c"),
        (math.nan, {}, "not a finite number"),
        (True, {"low": 0.0}, "toggle"),
    ],
)
def test_a_contradictory_knob_is_refused(runs: Path, value: Any, bounds: Any, said: str) -> None:
    """At its declaration, not at the first use."""
    with Training().cockpit(runs) as cockpit, pytest.raises(UserError, match=said):
        cockpit.knob("x", value, **bounds)
