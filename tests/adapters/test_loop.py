"""An own loop under the cockpit: what a stranger's twelve lines do with the five of ours."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cockpit import Cockpit
from engine.adapters.ranks.agreement import refuse_divided
from engine.errors import UserError
from engine.protocol import events as e
from engine.protocol.events import Activity
from engine.training.checkpoint.file import load_checkpoint
from tests.adapters.own_loop import Training, assert_same, events, rows, state_of, weights


def test_the_training_itself_is_bit_for_bit_the_one_without_us(runs: Path) -> None:
    """The cockpit draws no random number and changes no gradient."""
    ours, bare = Training(), Training()
    torch.manual_seed(1)
    with ours.cockpit(runs) as cockpit:
        ours.run(cockpit)
    torch.manual_seed(1)
    for _ in range(2):
        for x, y in bare.loader:
            bare.ce(x, y).backward()
            bare.optimizer.step()
            bare.scheduler.step()
            bare.optimizer.zero_grad()
    assert_same(weights(ours.model), weights(bare.model))
    state = state_of(runs / "one")
    assert (state.step, state.activity) == (24, Activity.FINISHED)
    assert events(runs / "one", e.RunFinished)[-1].reason == "complete"


def test_rows_hold_losses_norms_by_module_rate_and_learning_rate(runs: Path) -> None:
    """What a chart shows is what the loop computed."""
    training = Training()
    with training.cockpit(runs) as cockpit:
        training.run(cockpit, 1, lambda cockpit, step: cockpit.log(temperature=step + 0.5))
    found = rows(runs / "one")
    assert sorted(found) == list(range(1, 13))
    for number, (_, loss) in enumerate(training.seen, start=1):
        row = found[number]
        assert row["loss/total"] == pytest.approx(loss, rel=1e-6)
        assert row["loss_raw/ce"] == pytest.approx(loss, rel=1e-6)
        assert row["grad_norm/total"] == pytest.approx(math.hypot(row["grad_norm/0"], row["grad_norm/3"]), rel=1e-4)
        assert row["weight_norm/0"] > 0 and row["samples_per_second"] > 0
        assert row["log/temperature"] == number - 0.5
    assert found[1]["lr"] == pytest.approx(1e-2)
    assert found[12]["lr"] < found[1]["lr"]


def test_an_error_of_the_program_is_recorded_and_raised(runs: Path) -> None:
    """It is theirs: it must reach them unchanged."""
    training = Training()

    def each(cockpit: Cockpit, step: int) -> None:
        if step == 3:
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"), training.cockpit(runs) as cockpit:
        training.run(cockpit, 1, each)
    state = state_of(runs / "one")
    assert state.activity is Activity.FAILED
    assert events(runs / "one", e.RunFailed)[-1].error == "ZeroDivisionError: mine"
    assert "in each" in (runs / "one" / "console.log").read_text()


@pytest.mark.parametrize("has_loss", [True, False])
def test_a_validation_makes_the_best_checkpoint(runs: Path, has_loss: bool) -> None:
    """The first metric is the score unless another is named."""
    training = Training()
    with training.cockpit(runs) as cockpit:
        for accuracy in (0.5, 0.8, 0.6):
            training.run(cockpit, cockpit.epoch + 1)
            cockpit.validated(loss=1.0 - accuracy if has_loss else None, accuracy=accuracy, recall=0.1)
    state = state_of(runs / "one")
    assert (state.best_score, state.score, state.spec.score) == (0.8, 0.6, "accuracy")
    assert [metric.name for metric in state.spec.metrics] == ["accuracy", "recall"]
    assert [event.loss is not None for event in events(runs / "one", e.ValidationCompleted)] == [has_loss] * 3
    best = torch.load(runs / "one" / "checkpoints" / "best.pt", weights_only=True)
    assert best["step"] == 24


def test_accumulated_batches_are_one_step(runs: Path) -> None:
    """Losses are averaged, samples added, and commands wait for the update."""
    training = Training()
    with training.cockpit(runs) as cockpit:
        for number, (x, y) in enumerate(cockpit.steps(training.loader)):
            loss = cockpit.loss({"ce": training.ce(x, y)})
            training.seen.append((cockpit.step, loss.item()))
            (loss / 3).backward()
            if number % 3 == 2:
                training.optimizer.step()
                training.optimizer.zero_grad()
    found = rows(runs / "one")
    assert sorted(found) == [1, 2, 3, 4]
    assert found[1]["loss/total"] == pytest.approx(sum(loss for _, loss in training.seen[:3]) / 3, rel=1e-5)


def test_two_networks_and_two_optimizers_by_name(runs: Path) -> None:
    """As in adversarial training; both are in the checkpoint, and parts carry the names."""
    first, second = Training(), Training()
    networks = {"generator": first.model, "critic": second.model}
    optimizers = {"generator": first.optimizer, "critic": second.optimizer}
    with Cockpit(networks, optimizers, run="one", runs_dir=runs) as cockpit:
        for x, y in cockpit.steps(first.loader):
            for one in (first, second):
                one.ce(x, y).backward()
                one.optimizer.step()
                one.optimizer.zero_grad()
    found = rows(runs / "one")
    assert sorted(found) == list(range(1, 13))
    assert {"grad_norm/generator.0", "grad_norm/critic.3"} <= found[1].keys()
    payload = torch.load(runs / "one" / "checkpoints" / "step-00000012.pt", weights_only=True)
    assert {"generator.0.weight", "critic.0.weight"} <= payload["model"].keys()
    assert len(payload["optimizers"]) == 2


def test_a_plain_loop_without_terms_shows_the_loss_of_backward(runs: Path) -> None:
    """Only `Cockpit(model, optimizer)` and `steps` are required."""
    training = Training()
    losses: list[float] = []
    with training.cockpit(runs) as cockpit:
        for x, y in cockpit.steps(training.loader):
            loss = training.ce(x, y)
            loss.backward()
            losses.append(loss.item())
            training.optimizer.step()
            training.optimizer.zero_grad()
    assert [row["loss/total"] for row in rows(runs / "one").values()] == pytest.approx(losses)


def test_processes_that_are_not_connected_are_refused_with_what_to_call(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steering one of them only would let them wait for each other for ever."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match=r"2 processes, which are not connected: call .*init_process_group\(\) before"):
        Training().cockpit(runs)


def test_a_training_whose_processes_divide_the_network_is_refused() -> None:
    class FullyShardedDataParallel(torch.nn.Linear):
        """What torch's class of this name looks like from outside."""

    with pytest.raises(UserError, match=r"divide the network or its moments \(FullyShardedDataParallel\)"):
        refuse_divided({"": torch.nn.Sequential(FullyShardedDataParallel(2, 2))}, ())


def test_importing_the_cockpit_imports_no_torch() -> None:
    """The screen is a process without torch."""
    program = "import sys, cockpit; assert 'torch' not in sys.modules; cockpit.Cockpit; assert 'torch' in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_is_not_a_single_number_is_left_out_of_the_log_and_said_once(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training = Training()

    def log(cockpit: Cockpit, step: int) -> None:
        cockpit.log(wide=torch.ones(3), text="high", deep=np.zeros(2), one=torch.ones(1, 1), float32=np.float32(2.5))

    with training.cockpit(runs) as cockpit:
        training.run(cockpit, 1, log)
    found = rows(runs / "one")
    assert len(found) == 12
    logged = {name: value for name, value in found[12].items() if name.startswith("log/")}
    assert logged == {"log/one": 1.0, "log/float32": 2.5}
    said = [line for line in capsys.readouterr().err.splitlines() if "is not recorded" in line]
    assert said == [
        f"cockpit: log({name}=...) is not recorded: it is not a single number" for name in ("wide", "text", "deep")
    ]


@pytest.mark.parametrize("options", [{"score": "loss", "lower_is_better": True}, {}])
def test_the_loss_of_a_validation_may_be_the_score_among_other_metrics(runs: Path, options: dict[str, Any]) -> None:
    """It is so too where the first validation had no other."""
    training, others = Training(), iter([{}, {"accuracy": 0.1}, {"accuracy": 0.2}])
    with training.cockpit(runs, **options) as cockpit:
        for loss in (3.0, 1.0, 2.0):
            training.run(cockpit, cockpit.epoch + 1)
            cockpit.validated(loss=loss, **(next(others) if not options else {"accuracy": 0.5}))
    state = state_of(runs / "one")
    assert (state.best_score, state.spec.score) == (1.0, "loss")
    assert load_checkpoint(runs / "one" / "checkpoints" / "best.pt")["step"] == 24
