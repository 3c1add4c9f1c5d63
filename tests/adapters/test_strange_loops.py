"""Loops as strangers write them: the cockpit changes nothing in them, and records what they do."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from cockpit import Cockpit
from engine.errors import UserError
from engine.protocol import events as e
from tests.adapters.own_loop import Training, Wrapper, assert_same, entries, events, rows, update, weights

Body = Callable[[Any, Training], None]


class _Bare:
    """In place of the cockpit, for the same loop without it."""

    @staticmethod
    def steps(loader: Any) -> Any:
        """Return the loader."""
        return loader

    @staticmethod
    def loss(terms: Any) -> Any:
        """Return the sum of the terms."""
        return sum(terms.values()) if isinstance(terms, dict) else terms


def compare(runs: Path, body: Body) -> dict[int, dict[str, float]]:
    """Run a loop without and with the cockpit; the weights are the same. Return the metrics of each step."""
    bare, watched = Training(dropout=0), Training(dropout=0)
    torch.manual_seed(1)
    body(_Bare, bare)
    torch.manual_seed(1)
    with watched.cockpit(runs) as cockpit:
        body(cockpit, watched)
    assert_same(weights(bare.model), weights(watched.model))
    assert not events(runs / "one", e.AlertRaised, e.StepSkipped)
    return rows(runs / "one")


@pytest.mark.parametrize("to_none", [True, False])
@pytest.mark.parametrize("named", [True, False])
def test_a_bad_batch_that_the_loop_throws_away_does_not_touch_the_next(runs: Path, to_none: bool, named: bool) -> None:
    """Neither its update nor its loss."""

    def body(cockpit: Any, training: Training) -> None:
        for number, (x, y) in enumerate(cockpit.steps(training.loader)):
            value = training.ce(x, y) * (math.nan if number == 3 else 1.0)
            loss = cockpit.loss({"ce": value} if named else value) if named else value
            training.optimizer.zero_grad(set_to_none=to_none)
            loss.backward()
            if not torch.isfinite(nn.utils.clip_grad_norm_(training.model.parameters(), 10.0)):
                continue
            training.optimizer.step()

    found = compare(runs, body)
    assert len(found) == 11
    assert all(math.isfinite(row["loss/total"]) for row in found.values())


@pytest.mark.parametrize("bad", [0, 3])
@pytest.mark.parametrize("value", [math.nan, 100.0])
def test_a_loss_without_gradients_does_not_count(runs: Path, bad: int, value: float) -> None:
    """As where the loop looks at the loss, and goes on to the next batch: that one's update is not its own."""

    def body(cockpit: Any, training: Training) -> None:
        for number, (x, y) in enumerate(cockpit.steps(training.loader)):
            loss = cockpit.loss({"ce": training.ce(x, y) * (value if number == bad else 1.0)})
            if number != bad:
                update(training, loss)

    found = compare(runs, body)
    assert len(found) == 11
    assert all(row["loss/ce"] < 2 for row in found.values())


def test_a_finite_batch_that_is_thrown_away_does_not_count_in_the_next_loss(runs: Path) -> None:
    """Its gradients are not in the update."""

    def body(cockpit: Any, training: Training) -> None:
        for number, (x, y) in enumerate(cockpit.steps(training.loader)):
            loss = 0.0 * training.ce(x, y) + 1.0
            loss.backward()
            if number % 2:
                training.optimizer.step()
            if number % 4:  # two batches after every second update
                training.optimizer.zero_grad()

    found = compare(runs, body)
    assert [row["loss/total"] for row in found.values()] == [2.0, 1.0, 2.0, 1.0, 2.0, 1.0]


def test_the_loss_of_more_than_a_hundred_batches_is_whole(runs: Path) -> None:
    """However many batches make one step."""

    def body(cockpit: Any, training: Training) -> None:
        parameter = next(training.model.parameters())
        for number in cockpit.steps(range(300)):
            (parameter.sum() * 0.0 + 0.01).backward()
            if number % 150 == 149:
                training.optimizer.step()
                training.optimizer.zero_grad()

    found = compare(runs, body)
    assert [row["loss/total"] for row in found.values()] == pytest.approx([1.5, 1.5])


def test_a_loss_after_the_update_belongs_to_the_next_one(runs: Path) -> None:
    """As in a loop that updates before it computes."""

    def body(cockpit: Any, training: Training) -> None:
        for number in cockpit.steps(range(6)):
            if number:
                training.optimizer.step()
                training.optimizer.zero_grad()
            (next(training.model.parameters()).sum() * 0.0 + number).backward()

    assert [row["loss/total"] for row in compare(runs, body).values()] == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_two_trainings_in_one_loop_have_their_own_losses(runs: Path) -> None:
    """A loss belongs to the training whose gradients it changes."""
    first, second = Training(), Training()
    with first.cockpit(runs) as one, Cockpit(second.model, second.optimizer, run="two", runs_dir=runs) as two:
        for number, _ in zip(one.steps(range(5)), two.steps(range(5)), strict=True):
            update(first, next(first.model.parameters()).sum() * 0.0 + 1.0)
            update(second, next(second.model.parameters()).sum() * 0.0 + (math.nan if number == 2 else 2.0))
    assert [row["loss/total"] for row in rows(runs / "one").values()] == [1.0] * 5
    assert [row["loss/total"] for number, row in rows(runs / "two").items() if number != 3] == [2.0] * 4
    assert not events(runs / "one", e.StepSkipped)


def test_parameters_that_replace_others_in_their_group_are_watched(runs: Path) -> None:
    """A program that adds points or rows makes new parameters, as many as before."""
    points = nn.Module()
    points.register_parameter("place", nn.Parameter(torch.ones(4, 3)))
    optimizer = torch.optim.SGD(points.parameters(), lr=0.1)
    with Cockpit(points, optimizer, run="one", runs_dir=runs) as cockpit:
        for number in cockpit.steps(range(6)):
            if number == 2:
                place = nn.Parameter(torch.ones(5, 3))
                optimizer.param_groups[0]["params"][0] = place
                points.register_parameter("place", place)
            held: Any = points.place
            (held.sum() * (math.nan if number == 4 else 1.0)).backward()
            optimizer.step()
            optimizer.zero_grad()
    held = points.place
    assert torch.allclose(held, torch.full((5, 3), 0.7))
    (skipped,) = events(runs / "one", e.StepSkipped)
    assert skipped.modules == ("place",)
    assert rows(runs / "one")[6]["grad_norm/total"] == pytest.approx(math.sqrt(15))


def test_terms_may_be_numbers_or_one_loss_for_each_sample(runs: Path) -> None:
    """A term that is off is often 0, and a mean is often taken later."""

    def body(cockpit: Any, training: Training) -> None:
        for x, y in cockpit.steps(training.loader):
            each = nn.functional.cross_entropy(training.model(x), y, reduction="none")
            update(training, cockpit.loss({"off": 0, "ce": each, "small": 0.5}).mean())

    found = compare(runs, body)
    assert len(found) == 12
    assert found[1]["loss_raw/off"] == 0.0 and found[1]["loss_raw/small"] == 0.5
    assert found[1]["loss/total"] == pytest.approx(0.5 + found[1]["loss_raw/ce"])


@pytest.mark.filterwarnings("error")
def test_odd_numbers_of_log_and_validated_are_left_out_or_recorded(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """None of them ends the recording, or makes torch warn."""
    training = Training()

    def log(cockpit: Cockpit, step: int) -> None:
        odd: dict[str, Any] = {"huge": 10**400, "text": np.str_("x"), "date": np.datetime64("2020"), "yes": True}
        odd["one"] = np.array([1.5])
        cockpit.log(**odd)

    with training.cockpit(runs) as cockpit:
        training.run(cockpit, 1, log)
        graph = training.model(torch.ones(1, 4)).sum()
        odd: dict[str, Any] = {"none": None, "wide": torch.ones(3), "text": "high"}
        cockpit.validated(loss=graph, accuracy=graph, **odd)
    row = rows(runs / "one")[12]
    assert (row["log/one"], row["log/yes"]) == (1.5, 1.0)
    assert {name for name in row if name.startswith("val/")} == {"val/loss", "val/accuracy"}
    said = {
        line.split("(", 1)[1].split("=")[0] for line in capsys.readouterr().err.splitlines() if "not recorded" in line
    }
    assert said == {"huge", "text", "date", "none", "wide"}


@pytest.mark.parametrize(
    ("value", "bounds"),
    [(None, {}), ([1.0], {}), (1j, {}), (10**400, {}), (1.0, {"low": "a"}), ("a", {"choices": (1,)})],
)
def test_a_knob_of_another_kind_is_refused(runs: Path, value: Any, bounds: Any) -> None:
    """With a sentence, and before it is in the journal."""
    with Training().cockpit(runs) as cockpit, pytest.raises(UserError, match="knob 'x'"):
        cockpit.knob("x", value, **bounds)


def test_a_knob_of_a_tensor_is_a_number(runs: Path) -> None:
    """Bounds too."""
    with Training().cockpit(runs) as cockpit:
        half: Any = torch.tensor(0.5)
        assert cockpit.knob("x", half, half - 1, 1)() == 0.5


class _NoLength:
    """A loader that says in its own way that it has no length."""

    def __iter__(self) -> Iterator[int]:
        return iter(range(3))

    def __len__(self) -> int:
        raise NotImplementedError


class _Longer(IterableDataset[int]):
    """A dataset with more samples than it says."""

    def __iter__(self) -> Iterator[int]:
        return iter(range(4))

    def __len__(self) -> int:
        return 2


@pytest.mark.filterwarnings("error")
def test_a_loader_without_a_length_or_with_a_wrong_one_is_read_as_without_us(runs: Path) -> None:
    """The length is only for the progress."""
    with Training().cockpit(runs) as cockpit:
        assert list(cockpit.steps(_NoLength())) == [0, 1, 2]
        assert len(list(cockpit.steps(DataLoader(_Longer())))) == 4


def test_a_program_that_changes_its_directory_has_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run stays where it began."""
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.chdir(tmp_path)
    training = Training()
    with training.cockpit(Path("runs")) as cockpit:
        os.chdir(other)
        training.run(cockpit, 1)
    assert not list(other.iterdir())
    assert len(rows(tmp_path / "runs/one")) == 12


def test_a_default_device_of_the_program_is_not_used_for_our_numbers(runs: Path) -> None:
    """It may be one on which no number can be read."""
    training = Training(dropout=0)
    batches = list(training.loader)
    with contextlib.ExitStack() as stack:
        stack.callback(torch.set_default_device, None)
        torch.set_default_device("meta")
        with training.cockpit(runs) as cockpit:
            for number, (x, y) in enumerate(cockpit.steps(batches)):
                update(training, training.ce(x * (math.nan if number == 2 else 1.0), y))
    assert len(rows(runs / "one")) == 12


def test_each_loop_that_break_ends_is_an_epoch_with_all_its_steps(runs: Path) -> None:
    """The last update of a loop counts too, and each epoch has a checkpoint."""
    training = Training()
    with training.cockpit(runs) as cockpit:
        for epoch in range(3):
            for number, (x, y) in enumerate(cockpit.steps(training.loader)):
                update(training, training.ce(x, y))
                if number == 3:
                    break
            assert (cockpit.step, cockpit.epoch) == (4 * (epoch + 1), epoch)
            cockpit.validated(accuracy=epoch)
    ended = [(one.step, one.event.epoch) for one in entries(runs / "one") if isinstance(one.event, e.EpochCompleted)]
    assert ended == [(4, 0), (8, 1)]
    assert rows(runs / "one")[12]["val/accuracy"] == 2.0
    assert [one.kind for one in events(runs / "one", e.CheckpointSaved)].count("epoch") == 2
    other = Training()
    with other.cockpit(runs, resume=True) as cockpit:
        assert (cockpit.step, cockpit.epoch) == (12, 2)
    assert_same(weights(training.model), weights(other.model))


@pytest.mark.parametrize("how", ["break", "next", "exit", "error"])
def test_the_last_update_is_recorded_however_the_loop_is_left(runs: Path, how: str) -> None:
    """The checkpoint of the end has the number of updates that its weights have."""
    training = Training()
    with contextlib.suppress(SystemExit, ValueError), training.cockpit(runs) as cockpit:
        batches = iter(cockpit.steps(training.loader))
        for _ in range(5):
            update(training, training.ce(*next(batches)))
        if how == "break":
            batches.close()
            assert cockpit.step == 5
        elif how == "exit":
            raise SystemExit(1)
        elif how == "error":
            raise ValueError("of the program")
    assert list(rows(runs / "one")) == [1, 2, 3, 4, 5]


def test_a_loop_in_the_body_of_another_or_together_with_it_is_no_epoch(runs: Path) -> None:
    """A validation, and a second loader that is read on from epoch to epoch."""
    training = Training()
    others = DataLoader(TensorDataset(torch.zeros(200, 4)), batch_size=8)
    with training.cockpit(runs) as cockpit:
        unlabelled = iter(cockpit.steps(others))
        for epoch in cockpit.epochs(2):
            for (x, y), _ in zip(cockpit.steps(training.loader), cockpit.steps(others), strict=False):
                next(unlabelled)
                update(training, training.ce(x, y))
                assert len(list(cockpit.steps(range(3)))) == 3
            assert cockpit.epoch == epoch + 1
    assert [one.epoch for one in events(runs / "one", e.EpochCompleted)] == [0, 1]
    assert list(rows(runs / "one")) == list(range(1, 25))


def test_steps_of_a_loop_inside_are_steps_of_the_run(runs: Path) -> None:
    """As where each batch is divided further."""
    training = Training()
    with training.cockpit(runs) as cockpit:
        for x, y in cockpit.steps(training.loader):
            for part in cockpit.steps(torch.arange(8).split(4)):
                update(training, training.ce(x[part], y[part]))
    assert len(rows(runs / "one")) == 24
    assert [one.epoch for one in events(runs / "one", e.EpochCompleted)] == [0]


@pytest.mark.parametrize("wrapped", [lambda optimizer: optimizer, Wrapper], ids=["plain", "wrapped"])
def test_an_optimizer_that_is_made_later_is_watched_too(
    runs: Path, capsys: pytest.CaptureFixture[str], wrapped: Callable[[Any], Any]
) -> None:
    """From its second update on; no checkpoint has it, since a program that resumes has not made it yet."""
    training = Training()
    with training.cockpit(runs) as cockpit:
        for number, (x, y) in enumerate(cockpit.steps(training.loader)):
            if number == 4:
                training.optimizer = wrapped(torch.optim.AdamW(training.model.parameters(), lr=0.5))
            update(training, training.ce(x * (math.nan if number == 8 else 1.0), y))
    assert [row["skipped"] for row in rows(runs / "one").values()] == [0.0] * 6 + [1.0] + [0.0] * 3
    assert all(torch.isfinite(weight).all() for weight in weights(training.model))
    assert "the AdamW that was made after Cockpit(...) is watched too" in capsys.readouterr().err
    with Training().cockpit(runs, resume=True) as cockpit:
        assert cockpit.step == 10


def test_a_program_without_an_error_stream_is_recorded(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python has none after `2>&-`."""
    training = Training()
    monkeypatch.setattr("sys.stderr", None)
    with training.cockpit(runs) as cockpit:
        training.run(cockpit, 1)
    assert len(rows(runs / "one")) == 12


def test_a_copy_of_the_process_does_not_end_the_run(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a program forks and the copy ends."""
    training = Training()
    with training.cockpit(runs) as cockpit:
        own = os.getpid()
        with monkeypatch.context() as patched:
            patched.setattr(os, "getpid", lambda: own + 1)
            cockpit.__exit__(SystemExit, SystemExit(), None)
            cockpit.__exit__(None, None, None)
            cockpit._at_exit()
        training.run(cockpit, 1)
    assert len(rows(runs / "one")) == 12


@pytest.mark.filterwarnings("ignore")  # those of the compiler
def test_a_compiled_step_is_recorded_like_any_other(runs: Path) -> None:
    """`torch.compile` does not trace the cockpit, which failed."""
    training = Training()
    optimizer = torch.optim.SGD(training.model.parameters(), lr=0.1)

    def step(x: Tensor, y: Tensor) -> None:
        cockpit.loss({"ce": training.ce(x, y)}).backward()
        optimizer.step()

    compiled = torch.compile(step, backend="eager")
    with Cockpit(training.model, optimizer, run="one", runs_dir=runs, layers_every=1) as cockpit:
        for x, y in cockpit.steps(list(training.loader)[:2]):
            compiled(x, y)
    assert not events(runs / "one", e.AlertRaised)
    assert [math.isfinite(row["loss/ce"]) for row in rows(runs / "one").values()] == [True, True]


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_scripted_network_is_recorded(runs: Path) -> None:
    """Its children are in no dictionary."""
    training = Training(dropout=0)
    scripted: Any = torch.jit.trace(training.model, torch.zeros(8, 4))
    with Cockpit(scripted, training.optimizer, run="one", runs_dir=runs, layers_every=1) as cockpit:
        for x, y in cockpit.steps(training.loader):
            update(training, cockpit.loss(nn.functional.cross_entropy(scripted(x), y)))
    assert {"grad_norm/0", "grad_norm/3"} <= rows(runs / "one")[12].keys()
    assert not events(runs / "one", e.AlertRaised)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"model": torch.zeros(2)}, r"a Tensor is no torch.nn.Module; nn.ParameterList\(\[...\]\) holds tensors"),
        ({"model": [nn.functional.relu]}, "a function is no torch.nn.Module$"),
        ({"optimizer": Training().scheduler}, "a CosineAnnealingLR is no torch.optim.Optimizer$"),
        ({"run": 5}, "run=...\\) has to be a text, not 5"),
        ({"scheduler": [Training().scheduler]}, "scheduler=...\\) has to have state_dict .*, which a list has not"),
        ({"checkpoint_every": -1}, "checkpoint_every=...\\) has to be a whole number of steps from 0 on, not -1"),
        ({"layers_every": "few"}, "layers_every=...\\) has to be a whole number of steps from 0 on, not 'few'"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words(runs: Path, options: dict[str, Any], sentence: str) -> None:
    """No run is begun."""
    training, fitting = Training(), {"run": "one", "runs_dir": runs}
    given: dict[str, Any] = {"model": training.model, "optimizer": training.optimizer, **fitting, **options}
    with pytest.raises((TypeError, UserError), match=sentence):
        Cockpit(**given)
    assert not (runs / "one").exists()


def test_a_package_that_is_run_gives_its_own_name_to_the_run(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by `python -m package`, whose file is called `__main__.py`."""
    monkeypatch.setattr("sys.argv", ["somewhere/package/__main__.py", "--lr", "1"])
    training = Training()
    with Cockpit(training.model, training.optimizer, runs_dir=runs) as cockpit:
        assert cockpit.directory.name.startswith("package-2")
