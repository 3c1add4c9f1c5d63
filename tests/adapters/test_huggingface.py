"""The cockpit in a Hugging Face trainer: one entry in the list of callbacks, and the trainer stays its own."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("transformers", reason="the extra `huggingface` is not installed")
pytest.importorskip("accelerate", reason="the extra `huggingface` is not installed")

from transformers import Trainer, TrainerCallback, TrainingArguments

from cockpit.huggingface import CockpitCallback
from engine.adapters.hooks import patches
from engine.errors import UserError
from engine.journal.reader import JournalReader
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.events import Activity, Status
from tests.adapters.remote import Remote, notice, steered

NUM_SAMPLES = 48
BATCH = 4
POISONED = 26
"""The sample that makes a logarithm NaN: it is in the batch of step 7."""


class Network(nn.Module):
    """A classifier with a logarithm that is 0 for every sample but the poisoned one."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(4, 8), nn.Tanh())
        self.logarithm = Logarithm()
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Return logits and loss, as the trainer expects them."""
        out = self.head(self.body(x.clamp(-10, 10)) + self.logarithm(x[:, :1]))
        return {"loss": nn.functional.cross_entropy(out, labels), "logits": out}


class Logarithm(nn.Module):
    """log(1), or log(-1) where the input is large."""

    def forward(self, x: Tensor) -> Tensor:
        """Return zeros, or NaN."""
        return torch.log(1.0 - 2.0 * (x > 100).float())


class InOrder(Trainer):
    """A trainer that does not shuffle."""

    def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Any:
        return torch.utils.data.SequentialSampler(self.train_dataset)


class Rates(TrainerCallback):
    """Notes the learning rate that the optimizer uses at each step, and the one that the schedule has after it."""

    def __init__(self) -> None:
        self.used: list[float] = []
        self.scheduled: list[float] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Put a hook on the optimizer, after the cockpit's."""
        optimizer = kwargs["optimizer"].optimizer
        optimizer.register_step_pre_hook(lambda opt, *_: self.used.append(opt.param_groups[0]["lr"]))

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Note the schedule."""
        self.scheduled.append(kwargs["lr_scheduler"].get_last_lr()[0])


class At(TrainerCallback):
    """Sends a command after step `step`, and waits until the run has noticed it."""

    def __init__(self, step: int, callback: Any, *commands: Any) -> None:
        self.step, self.callback, self.commands = step, callback, commands

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Send the commands, which are carried out after this step."""
        if state.global_step == self.step:
            notice(self.callback.directory, self.callback.cockpit.run, *self.commands)


def samples(*, poisoned: bool = False) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(NUM_SAMPLES, 4, generator=generator)
    if poisoned:
        rows[POISONED, 0] = 1000.0
    return [{"x": row, "labels": number % 3} for number, row in enumerate(rows)]


def trainer(tmp_path: Path, *callbacks: Any, poisoned: bool = False, **arguments: Any) -> Trainer:
    given: dict[str, Any] = {
        "max_steps": 12,
        "per_device_train_batch_size": BATCH,
        "learning_rate": 1e-2,
        "report_to": [],
        "save_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": True,
        "logging_steps": 5,
        **arguments,
    }
    args = TrainingArguments(str(tmp_path / "out"), **given)
    data = samples(poisoned=poisoned)
    made = InOrder(Network(), args, train_dataset=data, eval_dataset=data[:8], callbacks=list(callbacks))
    made.remove_callback(sys.modules["transformers.trainer_callback"].PrinterCallback)
    return made


def cockpit(tmp_path: Path, **options: Any) -> Any:
    return CockpitCallback("hf", runs_dir=tmp_path / "runs", **options)


def journal(tmp_path: Path) -> JournalReader:
    return JournalReader(tmp_path / "runs" / "hf")


def state_of(tmp_path: Path) -> Any:
    state = journal(tmp_path).state()
    assert state is not None
    return state


def events_of(tmp_path: Path, kind: type[Any]) -> list[Any]:
    return [entry.event for entry in journal(tmp_path).events() if isinstance(entry.event, kind)]


def weights_and_moments(made: Trainer) -> dict[str, Tensor]:
    inner: Any = made.optimizer.optimizer  # type: ignore[union-attr]
    found = {name: value.detach() for name, value in made.model.named_parameters()}  # type: ignore[union-attr]
    for number, held in inner.state_dict()["state"].items():
        found |= {f"{number}.{key}": value for key, value in held.items()}
    return copy.deepcopy(found)


class WithoutStep7(TrainerCallback):
    """Leaves out the update of step 7 by hand."""

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Remove the gradients."""
        if state.global_step == 6:
            for parameter in kwargs["model"].parameters():
                parameter.grad = None


def test_a_nan_at_step_7_changes_no_bit_and_is_named_although_the_trainer_clips(tmp_path: Path) -> None:
    ours = trainer(tmp_path, cockpit(tmp_path), poisoned=True)
    ours.train()
    reference = trainer(tmp_path, WithoutStep7(), poisoned=True)
    reference.train()
    expected = weights_and_moments(reference)
    found = weights_and_moments(ours)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)
    assert all(torch.isfinite(value).all() for value in found.values())
    (skipped,) = events_of(tmp_path, e.StepSkipped)
    assert "head.weight" in skipped.modules and "body.0.weight" in skipped.modules
    assert [entry.step for entry in journal(tmp_path).events(kinds=["step_skipped"])] == [7]
    (named,) = events_of(tmp_path, e.FaultNamed)
    assert named.at_step == 7 and named.module == "logarithm" and "log" in named.operation
    assert state_of(tmp_path).activity is Activity.FINISHED


def test_the_loss_of_a_nan_step_is_recorded_although_the_trainer_hides_it(tmp_path: Path) -> None:
    made = trainer(tmp_path, cockpit(tmp_path), poisoned=True, logging_steps=1)
    made.train()
    assert [row["loss"] for row in made.state.log_history if row["step"] == 7] == [0.0]
    series = journal(tmp_path).series(["loss/total", "grad_norm/total"])
    assert len(series.steps) == 12
    losses = list(series.values["loss/total"])
    assert [step for step, loss in zip(series.steps, losses, strict=True) if np.isnan(loss)] == [7]


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_half_the_rate_is_exactly_half_of_the_schedule(tmp_path: Path, schedule: str) -> None:
    plain, steered_rates = Rates(), Rates()
    trainer(tmp_path, plain, lr_scheduler_type=schedule).train()
    callback = cockpit(tmp_path)
    trainer(tmp_path, At(4, callback, c.ScaleLr(0.5)), callback, steered_rates, lr_scheduler_type=schedule).train()
    assert steered_rates.used == plain.used[:4] + [rate * 0.5 for rate in plain.used[4:]]
    assert steered_rates.scheduled == plain.scheduled
    recorded = list(journal(tmp_path).series(["lr"]).values["lr"])
    assert recorded == pytest.approx(steered_rates.used, rel=1e-6)


def test_pause_steps_checkpoint_validation_and_stop_take_effect(tmp_path: Path) -> None:
    callback = cockpit(tmp_path)
    made = trainer(tmp_path, callback, max_steps=1_000_000, eval_strategy="steps", eval_steps=500_000)

    def script(remote: Remote) -> None:
        assert remote.send(c.Pause()).status is Status.APPLIED
        at = remote.await_pause()
        remote.send(c.RunSteps(3))
        remote.await_state(lambda state: state.step == at + 3 and state.activity is Activity.PAUSED)
        saved = remote.send(c.SaveCheckpoint())
        assert saved.step == at + 3 and isinstance(saved.event, e.CheckpointSaved)
        assert saved.event.path == str(tmp_path / "out" / f"checkpoint-{at + 3}") and saved.event.kind == "asked"
        assert Path(saved.event.path, "trainer_state.json").is_file()
        assert remote.await_pause() == at + 3
        again = remote.send(c.Validate())
        assert again.status is Status.REFUSED and "step 1" in again.reason
        remote.send(c.RunSteps(1))
        remote.await_state(lambda state: state.step == at + 4 and state.activity is Activity.PAUSED)
        measured = remote.send(c.Validate())
        assert isinstance(measured.event, e.ValidationCompleted) and measured.event.loss > 0
        assert remote.await_pause() == at + 4
        remote.send(c.Resume())
        remote.await_state(lambda state: state.step > at + 10)

    steered(made.train, tmp_path / "runs" / "hf", script)
    assert made.state.global_step < 1_000_000
    assert made.state.global_step == state_of(tmp_path).step
    (finished,) = events_of(tmp_path, e.RunFinished)
    assert finished.reason == "stopped"


def test_a_knob_is_live_and_bounded(tmp_path: Path) -> None:
    callback = cockpit(tmp_path)
    temperature = callback.knob("temperature", 0.7, low=0.1, high=2.0)
    seen: list[Any] = []

    class Reads(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            seen.append(temperature())

    assert temperature() == 0.7
    trainer(tmp_path, At(4, callback, c.SetKnob("temperature", 1.5)), callback, Reads()).train()
    assert seen == [0.7] * 4 + [1.5] * 8
    with pytest.raises(UserError, match="outside"):
        callback.knob("other", 3.0, low=0.0, high=1.0)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (c.SetBatchSize(4), "the training's own loader"),
        (c.Rollback(), "resume from one of them"),
        (c.SetLossWeight("ce", 2.0), "a knob"),
        (c.SetGuardian(True), "by hand"),
        (c.Validate(), "set eval_strategy"),
    ],
)
def test_what_it_cannot_do_is_refused_with_the_reason(tmp_path: Path, command: Any, reason: str) -> None:
    callback = cockpit(tmp_path)
    made = trainer(tmp_path, At(3, callback, command), callback)
    made.train()
    (entry,) = [entry for entry in journal(tmp_path).events() if entry.status is Status.REFUSED]
    assert reason in entry.reason
    assert made.state.global_step == 12


def test_a_fault_of_the_cockpit_detaches_it_and_the_training_completes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TRAINING_COCKPIT_RAISE")
    callback = cockpit(tmp_path)
    calls: list[Any] = []

    def broken(*_: Any) -> dict[str, float]:
        calls.append(_)
        if len(calls) == 5:
            raise RuntimeError("a fault of ours")
        return {}

    made = trainer(tmp_path, callback)
    monkeypatch.setattr(callback.cockpit, "_norms_of_weights", broken)
    made.train()
    assert made.state.global_step == 12
    assert "detached after a fault of its own" in capsys.readouterr().err
    assert "a fault of ours" in (tmp_path / "runs" / "hf" / "console.log").read_text()
    inner: Any = made.optimizer.optimizer  # type: ignore[union-attr]
    assert not inner._optimizer_step_pre_hooks and not inner._optimizer_step_post_hooks
    assert not patches._watching
    assert state_of(tmp_path).activity is Activity.FINISHED


def test_accumulated_batches_are_one_step_with_their_mean_loss(tmp_path: Path) -> None:
    callback = cockpit(tmp_path)
    made = trainer(tmp_path, callback, gradient_accumulation_steps=3, max_steps=6, logging_steps=1)
    made.train()
    series = journal(tmp_path).series(["loss/total"])
    logged = [row["loss"] for row in made.state.log_history if "loss" in row]
    assert len(series.steps) == 6
    assert list(series.values["loss/total"]) == pytest.approx(logged, abs=1e-4)


def test_evaluations_are_recorded_with_the_best_score(tmp_path: Path) -> None:
    made = trainer(
        tmp_path,
        cockpit(tmp_path),
        eval_strategy="steps",
        eval_steps=4,
        metric_for_best_model="accuracy",
        save_strategy="steps",
        save_steps=4,
    )
    made.compute_metrics = lambda found: {"accuracy": float((found.predictions.argmax(1) == found.label_ids).mean())}
    made.train()
    logged = [row["eval_accuracy"] for row in made.state.log_history if "eval_accuracy" in row]
    measured = events_of(tmp_path, e.ValidationCompleted)
    assert [one.metrics["accuracy"] for one in measured] == pytest.approx(logged)
    assert set(measured[0].metrics) == {"accuracy"} and measured[0].loss > 0
    assert state_of(tmp_path).best_score == pytest.approx(max(logged))
    saved = events_of(tmp_path, e.CheckpointSaved)
    assert [Path(one.path).name for one in saved] == ["checkpoint-4", "checkpoint-8", "checkpoint-12"]
    assert {one.kind for one in saved} == {"step"}


def test_a_resumed_training_goes_on_in_the_same_run_with_the_decisions_at_its_step(tmp_path: Path) -> None:
    callback = cockpit(tmp_path)
    first = trainer(
        tmp_path, At(3, callback, c.ScaleLr(0.5)), callback, max_steps=12, save_strategy="steps", save_steps=4
    )
    first.train()
    rates, again = Rates(), cockpit(tmp_path, resume=True)
    second = trainer(tmp_path, again, rates, max_steps=12)
    second.train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-8"))
    reader = journal(tmp_path)
    assert list(reader.series(["lr"]).steps) == list(range(1, 13))
    assert [branch for branch, _ in reader.lineage()] == [0, 1]
    assert rates.used == pytest.approx([1e-2 * 0.5 * (12 - step) / 12 for step in range(8, 12)])


def test_a_name_that_exists_is_refused_before_the_first_step(tmp_path: Path) -> None:
    trainer(tmp_path, cockpit(tmp_path), max_steps=1).train()
    again = trainer(tmp_path, cockpit(tmp_path), max_steps=1)
    with pytest.raises(UserError, match="exists"):
        again.train()
    assert again.state.global_step == 0


def test_an_exception_of_the_training_ends_the_run_as_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Fails(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 3:
                raise ZeroDivisionError("their own")

    callback = cockpit(tmp_path)
    with pytest.raises(ZeroDivisionError) as caught:
        trainer(tmp_path, callback, Fails()).train()
    monkeypatch.setattr(sys, "last_value", caught.value, raising=False)
    monkeypatch.setattr(sys, "last_exc", caught.value, raising=False)
    callback.cockpit.at_exit()
    assert state_of(tmp_path).activity is Activity.FAILED
    (failed,) = events_of(tmp_path, e.RunFailed)
    assert "their own" in failed.error


def test_several_processes_are_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    callback = cockpit(tmp_path)

    class TwoProcesses:
        world_size = 2

    callback.on_train_begin(TwoProcesses(), None, None)
    assert "not attached" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_the_public_module_alone_imports_nothing_heavy() -> None:
    program = "import sys, cockpit.huggingface; print({'torch', 'transformers', 'textual', 'rich'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"


def test_a_missing_package_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import cockpit.huggingface as door

    def absent(name: str) -> Any:
        raise ModuleNotFoundError("No module named 'transformers'", name="transformers")

    monkeypatch.setattr(door, "import_module", absent)
    with pytest.raises(ImportError, match=r"pip install 'training-cockpit\[huggingface\]'"):
        _ = door.CockpitCallback
