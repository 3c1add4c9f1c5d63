"""An own loop under the cockpit: what a stranger's twelve lines do with the five of ours."""

from __future__ import annotations

import copy
import itertools
import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from cockpit import Cockpit
from engine.errors import UserError
from engine.journal.reader import Entry, JournalReader
from engine.journal.sender import Sender
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.commands import Command
from engine.protocol.events import Activity, Status
from engine.protocol.state import RunState

Body = Callable[["Training", Any, Any], Tensor]


class Training:
    """A small training as strangers write it; `poison` are the indices of rows that are NaN."""

    def __init__(self, *, poison: tuple[int, ...] = (), shuffle: bool = True, dropout: float = 0.1) -> None:
        torch.manual_seed(0)
        inputs = torch.randn(96, 4)
        targets = (inputs[:, 0] > 0).long()
        inputs[list(poison)] = math.nan
        self.loader = DataLoader(TensorDataset(inputs, targets), batch_size=8, shuffle=shuffle)
        self.model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 2))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-2)
        self.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=60)
        self.seen: list[tuple[int, float]] = []

    def cockpit(self, runs: Path, **options: Any) -> Cockpit:
        """Return the cockpit of this training, with a run named 'one'."""
        return Cockpit(
            self.model,
            self.optimizer,
            run="one",
            runs_dir=runs,
            **{"scheduler": self.scheduler, "config": {"lr": 1e-2}, **options},
        )

    def ce(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the loss of a batch."""
        return nn.functional.cross_entropy(self.model(x), y)

    def run(
        self, cockpit: Cockpit, epochs: int = 2, each: Callable[[Cockpit, int], None] = lambda cockpit, step: None
    ) -> None:
        """Train; `each` is called in the loop's body, with the number of the step (from 0)."""
        for _ in cockpit.epochs(epochs):
            for x, y in cockpit.steps(self.loader):
                each(cockpit, cockpit.step)
                loss = cockpit.loss({"ce": self.ce(x, y)})
                loss.backward()
                self.optimizer.step()
                self.scheduler.step()
                self.optimizer.zero_grad()
                self.seen.append((cockpit.step, float(loss.detach())))


def send(cockpit: Cockpit, command: Command) -> None:
    """Send a command as another process does, and give the cockpit's thread time to read it."""
    with closing(Sender(cockpit.directory)) as sender:
        assert sender.send(command, "test") is not None
    time.sleep(0.1)


def entries(run: Path) -> list[Entry]:
    """Return the events of a run."""
    with closing(JournalReader(run)) as reader:
        return reader.events()


def events(run: Path, *kinds: type[Any]) -> list[Any]:
    """Return the events of some kinds."""
    return [entry.event for entry in entries(run) if isinstance(entry.event, kinds)]


def state_of(run: Path) -> RunState:
    """Return the newest state of a run."""
    with closing(JournalReader(run)) as reader:
        state = reader.state()
    assert state is not None
    return state


def rows(run: Path) -> dict[int, dict[str, float]]:
    """Return the metrics of each step."""
    with closing(JournalReader(run)) as reader:
        series = reader.series(reader.metric_names())
    found: dict[int, dict[str, float]] = {int(step): {} for step in series.steps}
    for name, values in series.values.items():
        for step, value, is_present in zip(series.steps, values, series.present[name], strict=True):
            if is_present:
                found[int(step)][name] = float(value)
    return found


def weights(model: nn.Module) -> list[Tensor]:
    """Return copies of the weights."""
    return [p.detach().clone() for p in model.parameters()]


def assert_same(left: list[Tensor], right: list[Tensor]) -> None:
    """Compare bit for bit."""
    assert all(torch.equal(one, other) for one, other in zip(left, right, strict=True))


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Path]:
    """Return an empty directory of runs."""
    yield tmp_path / "runs"


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
    assert f"test_loop.py:{body.__code__.co_firstlineno + 2}" in report or "test_loop.py" in report


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
    at: list[tuple[int, float]] = []
    with training.cockpit(runs) as cockpit:

        def each(cockpit: Cockpit, step: int) -> None:
            at.append((step, time.monotonic()))
            if step == 3:
                with closing(Sender(cockpit.directory)) as sender:
                    sender.send(c.RunSteps(2), "test")
                time.sleep(0.1)
                Later(0.4, lambda: send(cockpit, c.Resume())).start()

        training.run(cockpit, 1, each)
    gaps = {step: after - before for (_, before), (step, after) in itertools.pairwise(at)}
    assert max(gaps, key=lambda step: gaps[step]) == 6, "paused after the two granted steps, 4 and 5"
    assert gaps[6] > 0.2
    assert [type(event) for event in events(runs / "one", e.StepsGranted, e.Paused, e.Resumed)] == [
        e.StepsGranted,
        e.Paused,
        e.Resumed,
    ]


class Later:
    """Calls a function after some seconds, in a thread."""

    def __init__(self, seconds: float, call: Callable[[], None]) -> None:
        import threading

        self._timer = threading.Timer(seconds, call)

    def start(self) -> None:
        """Start to wait."""
        self._timer.daemon = True
        self._timer.start()


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


def test_a_validation_makes_the_best_checkpoint(runs: Path) -> None:
    """The first metric is the score unless another is named."""
    training = Training()
    with training.cockpit(runs) as cockpit:
        for accuracy in (0.5, 0.8, 0.6):
            training.run(cockpit, cockpit.epoch + 1)
            cockpit.validated(loss=1.0 - accuracy, accuracy=accuracy, recall=0.1)
    state = state_of(runs / "one")
    assert (state.best_score, state.score, state.spec.score) == (0.8, 0.6, "accuracy")
    assert [metric.name for metric in state.spec.metrics] == ["accuracy", "recall"]
    best = torch.load(runs / "one" / "checkpoints" / "best.pt", weights_only=True)
    assert best["step"] == 24


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
    from tests.adapters.test_optimizer_hooks import assert_equal

    assert_equal(at[-1], at[12])
    (back,) = events(runs / "one", e.RolledBack)
    assert (back.before, back.after) == (16, 12)


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


def test_a_fault_of_the_cockpit_does_not_end_the_training(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It detaches itself, says so, and the weights are those of a bare training."""
    monkeypatch.delenv("TRAINING_COCKPIT_RAISE")
    ours, bare = Training(), Training()
    torch.manual_seed(1)
    with ours.cockpit(runs) as cockpit:

        def each(cockpit: Cockpit, step: int) -> None:
            if step == 4:
                monkeypatch.setattr(cockpit, "_reading", lambda update: 1 / 0)

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
    state: dict[str, Any] = {}

    def each(cockpit: Cockpit, step: int) -> None:
        if 15 <= step < 20 and "poisoned" not in state:
            with torch.no_grad():
                training.model[3].bias.add_(math.nan)
        if step >= 20:
            state["poisoned"] = True

    with training.cockpit(runs, guardian=True) as cockpit:
        training.run(cockpit, 3, each)
    assert events(runs / "one", e.RolledBack)
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


def test_importing_the_cockpit_imports_no_torch() -> None:
    """The screen is a process without torch."""
    import subprocess
    import sys

    program = "import sys, cockpit; assert 'torch' not in sys.modules; cockpit.Cockpit; assert 'torch' in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
