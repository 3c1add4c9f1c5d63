"""The cockpit in a Lightning trainer: one entry in the list of callbacks, and the trainer stays its own."""

from __future__ import annotations

import copy
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("pytorch_lightning", reason="the extra `lightning` is not installed")

import pytorch_lightning as pl
from torch.utils.data import DataLoader, TensorDataset

from cockpit.lightning import CockpitCallback
from engine.adapters import lightning as adapter
from engine.adapters.hooks import patches
from engine.errors import UserError
from engine.journal.reader import JournalReader
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.events import Activity, Status
from tests.adapters.remote import Remote, notice, steered

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*have no `val_dataloader`:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*exists and is not empty:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*number of training batches.*smaller than the logging interval:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*your dataloader is not resumable:UserWarning"),
]

NUM_SAMPLES = 48
BATCH = 4
POISONED = 26
"""The sample that makes a logarithm NaN: it is in the batch of step 7."""
Build = Callable[[Any], Any]


class Logarithm(nn.Module):
    """log(1), or log(-1) where the input is large."""

    def forward(self, x: Tensor) -> Tensor:
        """Return zeros, or NaN."""
        return torch.log(1.0 - 2.0 * (x > 100).float())


class Net(nn.Module):
    """A classifier with a logarithm that is 0 for every sample but the poisoned one."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 8), nn.Tanh())
        self.logarithm = Logarithm()
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.head(self.body(x.clamp(-10, 10)) + self.logarithm(x[:, :1]))


class Module(pl.LightningModule):
    """The classifier as a module of Lightning; it notes the rate that the optimizer uses at each step."""

    def __init__(self, schedule: Build | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = Net()
        self.schedule = schedule
        self.used: list[float] = []
        self.scheduled: list[float] = []

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the loss."""
        x, y = batch
        loss = nn.functional.cross_entropy(self.net(x), y)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Log loss and accuracy."""
        x, y = batch
        out = self.net(x)
        self.log("val_loss", nn.functional.cross_entropy(out, y))
        self.log("val_accuracy", (out.argmax(1) == y).float().mean())

    def configure_optimizers(self) -> Any:
        """Return AdamW, with the schedule if there is one."""
        optimizer = torch.optim.AdamW(self.parameters(), lr=1e-2)
        if self.schedule is None:
            return optimizer
        return [optimizer], [{"scheduler": self.schedule(optimizer), "interval": "step"}]

    def on_train_start(self) -> None:
        """Put a hook on the optimizer, after the cockpit's."""
        optimizer = self.trainer.optimizers[0]
        optimizer.register_step_pre_hook(lambda opt, *_: self.used.append(opt.param_groups[0]["lr"]))

    def on_train_batch_end(self, *_: Any) -> None:
        """Note the schedule."""
        self.scheduled.append(self.trainer.optimizers[0].param_groups[0]["lr"])


class TwoOptimizers(Module):
    """A module that optimizes by hand, with one optimizer for each part."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
        """Update both parts."""
        x, y = batch
        both: Any = self.optimizers()
        for optimizer in both:
            optimizer.zero_grad()
        self.manual_backward(nn.functional.cross_entropy(self.net(x), y))
        for optimizer in both:
            self.clip_gradients(optimizer, gradient_clip_val=0.5, gradient_clip_algorithm="norm")
            optimizer.step()

    def configure_optimizers(self) -> Any:
        """Return an optimizer for the body and one for the head."""
        return [
            torch.optim.AdamW(self.net.body.parameters(), lr=1e-2),
            torch.optim.SGD(self.net.head.parameters(), 0.1),
        ]


class At(pl.Callback):
    """Sends commands after step `step`, and waits until the run has noticed them."""

    def __init__(self, step: int, callback: Any, *commands: Any) -> None:
        self.step, self.callback, self.commands = step, callback, commands

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """Send the commands, which are carried out after this step."""
        if trainer.global_step == self.step:
            notice(self.callback.directory, self.callback.cockpit.run, *self.commands)


class WithoutStep7(pl.Callback):
    """Leaves out the update of step 7 by hand."""

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Remove the gradients."""
        if trainer.fit_loop.epoch_loop.total_batch_idx == 6:
            for parameter in pl_module.parameters():
                parameter.grad = None


def loader(*, poisoned: bool = False) -> Any:
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(NUM_SAMPLES, 4, generator=generator)
    if poisoned:
        rows[POISONED, 0] = 1000.0
    return DataLoader(TensorDataset(rows, torch.arange(NUM_SAMPLES) % 3), batch_size=BATCH)


def trainer(tmp_path: Path, *callbacks: Any, **options: Any) -> Any:
    given: dict[str, Any] = {
        "max_epochs": 1,
        "accelerator": "cpu",
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "default_root_dir": tmp_path / "out",
        "num_sanity_val_steps": 0,
        **options,
    }
    return pl.Trainer(callbacks=list(callbacks), **given)


def cockpit(tmp_path: Path, **options: Any) -> Any:
    return CockpitCallback("pl", runs_dir=tmp_path / "runs", **options)


def journal(tmp_path: Path) -> JournalReader:
    return JournalReader(tmp_path / "runs" / "pl")


def state_of(tmp_path: Path) -> Any:
    state = journal(tmp_path).state()
    assert state is not None
    return state


def events_of(tmp_path: Path, kind: type[Any]) -> list[Any]:
    return [entry.event for entry in journal(tmp_path).events() if isinstance(entry.event, kind)]


def weights_and_moments(made: Any) -> dict[str, Tensor]:
    found = {name: value.detach() for name, value in made.lightning_module.named_parameters()}
    for number, optimizer in enumerate(made.optimizers):
        for parameter, held in optimizer.state_dict()["state"].items():
            found |= {f"{number}.{parameter}.{key}": value for key, value in held.items() if value is not None}
    return copy.deepcopy(found)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_nan_at_step_7_changes_no_bit_and_is_named_although_the_trainer_clips(tmp_path: Path, precision: str) -> None:
    options: dict[str, Any] = {"gradient_clip_val": 0.5, "precision": precision}
    ours = trainer(tmp_path, cockpit(tmp_path), **options)
    ours.fit(Module(), loader(poisoned=True))
    reference = trainer(tmp_path, WithoutStep7(), **options)
    reference.fit(Module(), loader(poisoned=True))
    expected, found = weights_and_moments(reference), weights_and_moments(ours)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)
    assert all(torch.isfinite(value).all() for value in found.values())
    (skipped,) = events_of(tmp_path, e.StepSkipped)
    assert "net.head.weight" in skipped.modules
    assert [entry.step for entry in journal(tmp_path).events(kinds=["step_skipped"])] == [7]
    (named,) = events_of(tmp_path, e.FaultNamed)
    assert named.at_step == 7 and named.module == "net.logarithm" and "log" in named.operation
    assert state_of(tmp_path).activity is Activity.FINISHED


def test_the_norm_before_the_trainers_clip_is_recorded(tmp_path: Path) -> None:
    trainer(tmp_path, cockpit(tmp_path)).fit(Module(), loader())
    unclipped = float(journal(tmp_path).series(["grad_norm/total"]).values["grad_norm/total"][0])
    again = CockpitCallback("clipped", runs_dir=tmp_path / "runs")
    trainer(tmp_path, again, gradient_clip_val=1e-3).fit(Module(), loader())
    series = JournalReader(again.directory).series(["grad_norm/total"]).values["grad_norm/total"]
    assert float(series[0]) == unclipped and min(series) > 1e-2


@pytest.mark.parametrize(
    "schedule",
    [
        lambda o: torch.optim.lr_scheduler.OneCycleLR(o, max_lr=0.02, total_steps=13),
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=12),
    ],
    ids=["one cycle", "cosine"],
)
def test_half_the_rate_is_exactly_half_of_the_schedule(tmp_path: Path, schedule: Build) -> None:
    plain, halved = Module(schedule), Module(schedule)
    trainer(tmp_path).fit(plain, loader())
    callback = cockpit(tmp_path)
    trainer(tmp_path, At(4, callback, c.ScaleLr(0.5)), callback).fit(halved, loader())
    assert halved.used == plain.used[:4] + [rate * 0.5 for rate in plain.used[4:]]
    assert halved.scheduled == plain.scheduled
    recorded = list(journal(tmp_path).series(["lr"]).values["lr"])
    assert recorded == pytest.approx(halved.used, rel=1e-6)


def test_pause_steps_checkpoint_validation_and_stop_take_effect(tmp_path: Path) -> None:
    callback = cockpit(tmp_path)
    made = trainer(tmp_path, callback, max_epochs=100_000, check_val_every_n_epoch=50_000)

    def script(remote: Remote) -> None:
        assert remote.send(c.Pause()).status is Status.APPLIED
        at = remote.await_pause()
        remote.send(c.RunSteps(3))
        remote.await_state(lambda state: state.step == at + 3 and state.activity is Activity.PAUSED)
        for _ in range(2):
            saved = remote.send(c.SaveCheckpoint())
            assert saved.step == at + 3 and isinstance(saved.event, e.CheckpointSaved)
            assert Path(saved.event.path) == tmp_path / "out" / "checkpoints" / f"cockpit-step={at + 3}.ckpt"
            held = torch.load(saved.event.path, weights_only=False)
            assert held["global_step"] == at + 3
        measured = remote.send(c.Validate())
        assert isinstance(measured.event, e.ValidationCompleted) and measured.event.loss > 0
        assert remote.await_pause() == at + 3
        again = remote.send(c.Validate())
        assert again.status is Status.REFUSED and "step 1" in again.reason
        remote.send(c.Resume())
        remote.await_state(lambda state: state.step > at + 10)

    module = Module()
    steered(lambda: made.fit(module, loader(), loader()), tmp_path / "runs" / "pl", script)
    assert made.global_step == state_of(tmp_path).step < 1_000_000
    assert made.val_check_batch == 12 and made.check_val_every_n_epoch == 50_000
    (finished,) = events_of(tmp_path, e.RunFinished)
    assert finished.reason == "stopped"


def test_a_knob_is_live_and_bounded(tmp_path: Path) -> None:
    callback = cockpit(tmp_path)
    temperature = callback.knob("temperature", 0.7, low=0.1, high=2.0)
    seen: list[Any] = []

    class Reads(pl.Callback):
        def on_train_batch_start(self, *_: Any) -> None:
            seen.append(temperature())

    trainer(tmp_path, At(4, callback, c.SetKnob("temperature", 1.5)), callback, Reads()).fit(Module(), loader())
    assert seen == [0.7] * 4 + [1.5] * 8


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (c.SetBatchSize(4), "the training's own loader"),
        (c.Rollback(), "resume from one of them"),
        (c.SetGuardian(True), "by hand"),
        (c.Validate(), "validation_step"),
    ],
)
def test_what_it_cannot_do_is_refused_with_the_reason(tmp_path: Path, command: Any, reason: str) -> None:
    callback = cockpit(tmp_path)
    made = trainer(tmp_path, At(3, callback, command), callback)
    made.fit(Module(), loader())
    (entry,) = [entry for entry in journal(tmp_path).events() if entry.status is Status.REFUSED]
    assert reason in entry.reason
    assert made.global_step == 12


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

    monkeypatch.setattr(callback.cockpit, "_norms_of_weights", broken)
    made = trainer(tmp_path, callback)
    made.fit(Module(), loader())
    assert made.global_step == 12
    assert "detached after a fault of its own" in capsys.readouterr().err
    assert "a fault of ours" in (tmp_path / "runs" / "pl" / "console.log").read_text()
    assert not patches._watching
    assert state_of(tmp_path).activity is Activity.FINISHED


def test_accumulated_batches_are_one_step_with_their_mean_loss(tmp_path: Path) -> None:
    losses: list[float] = []

    class Notes(pl.Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            losses.append(float(trainer.callback_metrics["train_loss"]))

    trainer(tmp_path, Notes(), cockpit(tmp_path), accumulate_grad_batches=3).fit(Module(), loader())
    series = journal(tmp_path).series(["loss/total"])
    assert list(series.steps) == [1, 2, 3, 4]
    means = [sum(losses[at : at + 3]) / 3 for at in range(0, 12, 3)]
    assert list(series.values["loss/total"]) == pytest.approx(means, rel=1e-5)


def test_two_optimizers_by_hand_are_one_step_and_a_nan_changes_neither(tmp_path: Path) -> None:
    ours = trainer(tmp_path, cockpit(tmp_path))
    ours.fit(TwoOptimizers(), loader(poisoned=True))
    reference = trainer(tmp_path, WithoutStep7())
    reference.fit(TwoOptimizers(), loader(poisoned=True))
    expected, found = weights_and_moments(reference), weights_and_moments(ours)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert list(journal(tmp_path).series(["lr"]).steps) == list(range(1, 13))
    (skipped,) = events_of(tmp_path, e.StepSkipped)
    assert {"net.body.0.weight", "net.head.weight"} <= set(skipped.modules)


def test_validations_are_recorded_with_the_best_score_but_not_the_sanity_check(tmp_path: Path) -> None:
    measured: list[float] = []

    class Notes(pl.Callback):
        def on_validation_end(self, trainer: Any, *_: Any) -> None:
            if not trainer.sanity_checking:
                measured.append(float(trainer.callback_metrics["val_accuracy"]))

    made = trainer(
        tmp_path,
        Notes(),
        cockpit(tmp_path, score="accuracy"),
        max_epochs=3,
        num_sanity_val_steps=2,
        enable_checkpointing=True,
    )
    made.fit(Module(), loader(), loader())
    found = events_of(tmp_path, e.ValidationCompleted)
    assert [one.metrics["accuracy"] for one in found] == pytest.approx(measured) and len(found) == 3
    assert all(one.loss > 0 for one in found)
    assert state_of(tmp_path).best_score == pytest.approx(max(measured))
    saved = events_of(tmp_path, e.CheckpointSaved)
    assert [Path(one.path).name for one in saved] == [f"epoch={n}-step={12 * (n + 1)}.ckpt" for n in range(3)]
    assert [event.epoch for event in events_of(tmp_path, e.EpochCompleted)] == [0, 1, 2]


def test_what_the_module_logs_is_recorded_with_its_step(tmp_path: Path) -> None:
    trainer(tmp_path, cockpit(tmp_path), log_every_n_steps=3).fit(Module(), loader())
    series = journal(tmp_path).series(["loss/total", "log/train_loss"])
    logged = series.present["log/train_loss"]
    assert [int(step) for step in series.steps[logged]] == [3, 6, 9, 12]
    assert list(series.values["log/train_loss"][logged]) == list(series.values["loss/total"][logged])


def test_a_resumed_training_goes_on_in_the_same_run_with_the_decisions_at_its_step(tmp_path: Path) -> None:
    callback = cockpit(tmp_path)
    commands = At(3, callback, c.ScaleLr(0.5)), At(8, callback, c.SaveCheckpoint()), callback
    trainer(tmp_path, *commands).fit(Module(), loader())
    (saved,) = events_of(tmp_path, e.CheckpointSaved)
    module, again = Module(), cockpit(tmp_path, resume=True)
    trainer(tmp_path, again).fit(module, loader(), ckpt_path=saved.path)
    reader = journal(tmp_path)
    assert list(reader.series(["lr"]).steps) == list(range(1, 13))
    assert [branch for branch, _ in reader.lineage()] == [0, 1]
    assert module.used == [0.005] * 4


def test_a_name_that_exists_is_refused_before_the_first_step(tmp_path: Path) -> None:
    trainer(tmp_path, cockpit(tmp_path)).fit(Module(), loader())
    again = trainer(tmp_path, cockpit(tmp_path))
    with pytest.raises(UserError, match="exists"):
        again.fit(Module(), loader())
    assert again.global_step == 0


def test_an_exception_of_the_training_ends_the_run_as_failed(tmp_path: Path) -> None:
    class Fails(pl.Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            if trainer.global_step == 3:
                raise ZeroDivisionError("their own")

    with pytest.raises(ZeroDivisionError):
        trainer(tmp_path, cockpit(tmp_path), Fails()).fit(Module(), loader())
    assert state_of(tmp_path).activity is Activity.FAILED
    (failed,) = events_of(tmp_path, e.RunFailed)
    assert "their own" in failed.error
    assert not patches._watching


def test_the_callback_is_one_of_both_packages_if_both_are_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    class Callback:
        """The base class of the other package."""

    found = types.ModuleType("lightning.pytorch.callbacks")
    found.Callback = Callback  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lightning", types.ModuleType("lightning"))
    monkeypatch.setitem(sys.modules, "lightning.pytorch", types.ModuleType("lightning.pytorch"))
    monkeypatch.setitem(sys.modules, "lightning.pytorch.callbacks", found)
    made = CockpitCallback("both")
    assert isinstance(made, Callback) and isinstance(made, pl.Callback) and isinstance(made, CockpitCallback)
    assert made.state_key == CockpitCallback("other").state_key


def test_several_processes_are_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class TwoProcesses:
        world_size = 2

    cockpit(tmp_path).on_train_start(TwoProcesses(), None)
    assert "not attached" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_the_public_module_alone_imports_nothing_heavy() -> None:
    program = (
        "import sys, cockpit.lightning;"
        " print({'torch', 'lightning', 'pytorch_lightning', 'textual', 'rich'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"


def test_a_missing_package_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import cockpit.lightning as door

    monkeypatch.setattr(door, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'training-cockpit\[lightning\]'"):
        _ = door.CockpitCallback
    assert adapter.LightningCallback is not None
