"""The cockpit in a Lightning trainer: one entry in the list of callbacks, and the trainer stays its own."""

from __future__ import annotations

import math
import subprocess
import sys
import types
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from engine.adapters.hooks import patches
from engine.errors import UserError
from engine.journal.reader import JournalReader
from engine.outputs.inspection.histogram_file import kept_histograms
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.events import Activity, Status
from tests.adapters.remote import Remote, steered

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*have no `val_dataloader`:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*exists and is not empty:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*number of training batches.*smaller than the logging interval:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*your dataloader is not resumable:UserWarning"),
]


@pytest.fixture(scope="module")
def pl() -> Any:
    """Return the support of these tests; Lightning is imported only by the process that runs them."""
    pytest.importorskip("pytorch_lightning", reason="the extra `lightning` is not installed")
    from tests.adapters import pl_trainer

    return pl_trainer


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_nan_at_step_7_changes_no_bit_and_is_named_although_the_trainer_clips(
    pl: Any, tmp_path: Path, precision: str
) -> None:
    options: dict[str, Any] = {"gradient_clip_val": 0.5, "precision": precision}
    ours = pl.trainer(tmp_path, pl.cockpit(tmp_path), **options)
    ours.fit(pl.Module(), pl.loader(poisoned=True))
    reference = pl.trainer(tmp_path, pl.WithoutStep7(), **options)
    reference.fit(pl.Module(), pl.loader(poisoned=True))
    expected, found = pl.weights_and_moments(reference), pl.weights_and_moments(ours)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)
    assert all(torch.isfinite(value).all() for value in found.values())
    (skipped,) = pl.events_of(tmp_path, e.StepSkipped)
    assert "net.head.weight" in skipped.modules
    assert [entry.step for entry in pl.entries_of(tmp_path, ["step_skipped"])] == [7]
    (named,) = pl.events_of(tmp_path, e.FaultNamed)
    assert named.at_step == 7 and named.module == "net.logarithm" and "log" in named.operation
    assert pl.state_of(tmp_path).activity is Activity.FINISHED


def test_under_a_loss_scaler_a_nan_changes_no_bit_and_the_unscaled_loss_is_recorded(pl: Any, tmp_path: Path) -> None:
    module = pl.Module()
    made = pl.trainer(tmp_path, pl.cockpit(tmp_path), plugins=[pl.scaled_precision()], log_every_n_steps=1)
    made.fit(module, pl.loader(poisoned=True))
    assert all(torch.isfinite(value).all() for value in pl.weights_and_moments(made).values())
    series = pl.series_of(tmp_path, ["loss/total", "log/train_loss", "skipped"])
    assert list(series.steps[series.values["skipped"] > 0]) == [7]
    losses, logged = series.values["loss/total"], series.values["log/train_loss"]
    assert list(losses[:6]) == list(logged[:6]) and list(losses[7:]) == list(logged[7:])
    (skipped,) = pl.events_of(tmp_path, e.StepSkipped)
    assert "loss scaler" in skipped.reason


def test_what_reaches_a_network_is_not_called_the_data(pl: Any, tmp_path: Path) -> None:
    pl.trainer(tmp_path, pl.cockpit(tmp_path)).fit(pl.ComputesBefore(), pl.loader(poisoned=True))
    (named,) = pl.events_of(tmp_path, e.FaultNamed)
    assert named.at_step == 7 and named.direction == "forward" and named.module == "what precedes net"


def test_the_norm_before_the_trainers_clip_is_recorded(pl: Any, tmp_path: Path) -> None:
    pl.trainer(tmp_path, pl.cockpit(tmp_path)).fit(pl.Module(), pl.loader())
    unclipped = float(pl.series_of(tmp_path, ["grad_norm/total"]).values["grad_norm/total"][0])
    again = pl.CockpitCallback("clipped", runs_dir=tmp_path / "runs")
    pl.trainer(tmp_path, again, gradient_clip_val=1e-3).fit(pl.Module(), pl.loader())
    with closing(JournalReader(again.directory)) as reader:
        series = reader.series(["grad_norm/total"]).values["grad_norm/total"]
    assert float(series[0]) == unclipped and min(series) > 1e-2


@pytest.mark.parametrize(
    "schedule",
    [
        lambda o: torch.optim.lr_scheduler.OneCycleLR(o, max_lr=0.02, total_steps=13),
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=12),
    ],
    ids=["one cycle", "cosine"],
)
def test_half_the_rate_is_exactly_half_of_the_schedule(pl: Any, tmp_path: Path, schedule: Any) -> None:
    plain, halved = pl.Module(schedule), pl.Module(schedule)
    pl.trainer(tmp_path).fit(plain, pl.loader())
    callback = pl.cockpit(tmp_path)
    pl.trainer(tmp_path, pl.At(4, callback, c.ScaleLr(0.5)), callback).fit(halved, pl.loader())
    assert halved.used == plain.used[:4] + [rate * 0.5 for rate in plain.used[4:]]
    assert halved.scheduled == plain.scheduled
    recorded = list(pl.series_of(tmp_path, ["lr"]).values["lr"])
    assert recorded == pytest.approx(halved.used, rel=1e-6)


def test_pause_steps_checkpoint_validation_and_stop_take_effect(pl: Any, tmp_path: Path) -> None:
    callback = pl.cockpit(tmp_path)
    made = pl.trainer(tmp_path, callback, max_epochs=100_000, check_val_every_n_epoch=50_000)

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

    module = pl.Module()
    steered(lambda: made.fit(module, pl.loader(), pl.loader()), tmp_path / "runs" / "pl", script)
    assert made.global_step == pl.state_of(tmp_path).step < 1_000_000
    assert made.val_check_batch == 12 and made.check_val_every_n_epoch == 50_000
    (finished,) = pl.events_of(tmp_path, e.RunFinished)
    assert finished.reason == "stopped"


def test_a_knob_is_live_and_bounded(pl: Any, tmp_path: Path) -> None:
    callback = pl.cockpit(tmp_path)
    temperature = callback.knob("temperature", 0.7, low=0.1, high=2.0)
    seen: list[Any] = []

    class Reads(pl.Callback):
        def on_train_batch_start(self, *_: Any) -> None:
            seen.append(temperature())

    pl.trainer(tmp_path, pl.At(4, callback, c.SetKnob("temperature", 1.5)), callback, Reads()).fit(
        pl.Module(), pl.loader()
    )
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
def test_what_it_cannot_do_is_refused_with_the_reason(pl: Any, tmp_path: Path, command: Any, reason: str) -> None:
    callback = pl.cockpit(tmp_path)
    made = pl.trainer(tmp_path, pl.At(3, callback, command), callback)
    made.fit(pl.Module(), pl.loader())
    (entry,) = [entry for entry in pl.entries_of(tmp_path) if entry.status is Status.REFUSED]
    assert reason in entry.reason
    assert made.global_step == 12


def test_a_fault_of_the_cockpit_detaches_it_and_the_training_completes(
    pl: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TRAINING_COCKPIT_RAISE")
    callback = pl.cockpit(tmp_path)
    calls: list[Any] = []

    def broken(*_: Any) -> dict[str, float]:
        calls.append(_)
        if len(calls) == 5:
            raise RuntimeError("a fault of ours")
        return {}

    monkeypatch.setattr(callback.cockpit.weights, "read", broken)
    made = pl.trainer(tmp_path, callback)
    made.fit(pl.Module(), pl.loader())
    assert made.global_step == 12
    assert "detached after a fault of its own" in capsys.readouterr().err
    assert "a fault of ours" in (tmp_path / "runs" / "pl" / "console.log").read_text()
    assert not patches._watching
    assert pl.state_of(tmp_path).activity is Activity.FINISHED


def test_accumulated_batches_are_one_step_with_their_mean_loss(pl: Any, tmp_path: Path) -> None:
    losses: list[float] = []

    class Notes(pl.Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            losses.append(float(trainer.callback_metrics["train_loss"]))

    pl.trainer(tmp_path, Notes(), pl.cockpit(tmp_path), accumulate_grad_batches=3).fit(pl.Module(), pl.loader())
    series = pl.series_of(tmp_path, ["loss/total"])
    assert list(series.steps) == [1, 2, 3, 4]
    means = [sum(losses[at : at + 3]) / 3 for at in range(0, 12, 3)]
    assert list(series.values["loss/total"]) == pytest.approx(means, rel=1e-5)


def test_two_optimizers_by_hand_are_one_step_and_a_nan_changes_neither(pl: Any, tmp_path: Path) -> None:
    ours = pl.trainer(tmp_path, pl.cockpit(tmp_path))
    ours.fit(pl.TwoOptimizers(), pl.loader(poisoned=True))
    reference = pl.trainer(tmp_path, pl.WithoutStep7())
    reference.fit(pl.TwoOptimizers(), pl.loader(poisoned=True))
    expected, found = pl.weights_and_moments(reference), pl.weights_and_moments(ours)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert list(pl.series_of(tmp_path, ["lr"]).steps) == list(range(1, 13))
    (skipped,) = pl.events_of(tmp_path, e.StepSkipped)
    assert {"net.body.0.weight", "net.head.weight"} <= set(skipped.modules)
    layers = [f"layer/net.{name}/update_ratio" for name in ("body.0.weight", "head.weight")]
    measured = pl.series_of(tmp_path, layers)
    assert measured.steps.tolist() == [1] and all(measured.present[name].all() for name in layers)


def test_validations_are_recorded_with_the_best_score_but_not_the_sanity_check(pl: Any, tmp_path: Path) -> None:
    measured: list[float] = []

    class Notes(pl.Callback):
        def on_validation_end(self, trainer: Any, *_: Any) -> None:
            if not trainer.sanity_checking:
                measured.append(float(trainer.callback_metrics["val_accuracy"]))

    made = pl.trainer(
        tmp_path,
        Notes(),
        pl.cockpit(tmp_path, score="accuracy"),
        max_epochs=3,
        num_sanity_val_steps=2,
        enable_checkpointing=True,
    )
    made.fit(pl.Module(), pl.loader(), pl.loader())
    found = pl.events_of(tmp_path, e.ValidationCompleted)
    assert [one.metrics["accuracy"] for one in found] == pytest.approx(measured) and len(found) == 3
    assert all(one.loss > 0 for one in found)
    assert pl.state_of(tmp_path).best_score == pytest.approx(max(measured))
    saved = pl.events_of(tmp_path, e.CheckpointSaved)
    assert [Path(one.path).name for one in saved] == [f"epoch={n}-step={12 * (n + 1)}.ckpt" for n in range(3)]
    assert [event.epoch for event in pl.events_of(tmp_path, e.EpochCompleted)] == [0, 1, 2]


def test_what_the_module_logs_is_recorded_with_its_step(pl: Any, tmp_path: Path) -> None:
    pl.trainer(tmp_path, pl.cockpit(tmp_path), log_every_n_steps=3).fit(pl.Module(), pl.loader())
    series = pl.series_of(tmp_path, ["loss/total", "log/train_loss"])
    logged = series.present["log/train_loss"]
    assert [int(step) for step in series.steps[logged]] == [3, 6, 9, 12]
    assert list(series.values["log/train_loss"][logged]) == list(series.values["loss/total"][logged])


def test_a_resumed_training_goes_on_in_the_same_run_with_the_decisions_at_its_step(pl: Any, tmp_path: Path) -> None:
    callback = pl.cockpit(tmp_path)
    commands = pl.At(3, callback, c.ScaleLr(0.5)), pl.At(8, callback, c.SaveCheckpoint()), callback
    pl.trainer(tmp_path, *commands).fit(pl.Module(), pl.loader())
    (saved,) = pl.events_of(tmp_path, e.CheckpointSaved)
    module, again = pl.Module(), pl.cockpit(tmp_path, resume=True)
    pl.trainer(tmp_path, again).fit(module, pl.loader(), ckpt_path=saved.path)
    with pl.journal(tmp_path) as reader:
        assert list(reader.series(["lr"]).steps) == list(range(1, 13))
        assert [branch for branch, _ in reader.lineage()] == [0, 1]
    assert module.used == [0.005] * 4


def test_a_name_that_exists_is_refused_before_the_first_step(pl: Any, tmp_path: Path) -> None:
    pl.trainer(tmp_path, pl.cockpit(tmp_path)).fit(pl.Module(), pl.loader())
    again = pl.trainer(tmp_path, pl.cockpit(tmp_path))
    with pytest.raises(UserError, match="exists"):
        again.fit(pl.Module(), pl.loader())
    assert again.global_step == 0


def test_an_exception_of_the_training_ends_the_run_as_failed(pl: Any, tmp_path: Path) -> None:
    class Fails(pl.Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            if trainer.global_step == 3:
                raise ZeroDivisionError("their own")

    with pytest.raises(ZeroDivisionError):
        pl.trainer(tmp_path, pl.cockpit(tmp_path), Fails()).fit(pl.Module(), pl.loader())
    assert pl.state_of(tmp_path).activity is Activity.FAILED
    (failed,) = pl.events_of(tmp_path, e.RunFailed)
    assert "their own" in failed.error
    assert not patches._watching


def test_the_callback_is_one_of_both_packages_if_both_are_imported(pl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Callback:
        """The base class of the other package."""

    found = types.ModuleType("lightning.pytorch.callbacks")
    found.Callback = Callback  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lightning", types.ModuleType("lightning"))
    monkeypatch.setitem(sys.modules, "lightning.pytorch", types.ModuleType("lightning.pytorch"))
    monkeypatch.setitem(sys.modules, "lightning.pytorch.callbacks", found)
    made = pl.CockpitCallback("both")
    assert isinstance(made, Callback) and isinstance(made, pl.Callback) and isinstance(made, pl.CockpitCallback)
    assert made.state_key == pl.CockpitCallback("other").state_key


def test_histograms_are_taken_inside_the_trainers_closure_and_before_its_clip(pl: Any, tmp_path: Path) -> None:
    callback = pl.cockpit(tmp_path)
    asked = pl.At(3, callback, c.TakeHistogram("net.body.0"))
    pl.trainer(tmp_path, asked, callback, gradient_clip_val=1e-3).fit(pl.Module(), pl.loader())
    (taken,) = kept_histograms(tmp_path / "runs" / "pl")
    assert (taken.layer, taken.step, dict(taken.missing)) == ("net.body.0", 4, {})
    assert taken.activations is not None and taken.activations.count == pl.BATCH * 8
    assert taken.weights is not None and taken.gradients is not None
    norms = pl.series_of(tmp_path, ["grad_norm/net.body.0"]).values["grad_norm/net.body.0"]
    assert math.sqrt(taken.gradients.sum_of_squares) == pytest.approx(norms[3], rel=1e-4)
    assert norms[3] > 1e-2


def test_each_of_two_optimizers_gives_the_histograms_of_its_part(pl: Any, tmp_path: Path) -> None:
    callback = pl.cockpit(tmp_path)
    asked = pl.At(4, callback, c.TakeHistogram("net.body.0"), c.TakeHistogram("net.head"))
    pl.trainer(tmp_path, asked, callback).fit(pl.TwoOptimizers(), pl.loader())
    found = {taken.layer: taken for taken in kept_histograms(tmp_path / "runs" / "pl")}
    assert found.keys() == {"net.body.0", "net.head"}
    for taken in found.values():
        assert taken.step == 3 and not taken.missing


def test_processes_that_divide_the_network_are_left_alone(
    pl: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pl.cockpit(tmp_path).on_train_start(SimpleNamespace(world_size=2, strategy="FSDP"), None)
    assert "not attached" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_the_public_module_alone_imports_nothing_heavy() -> None:
    program = (
        "import sys, cockpit.lightning;"
        " print({'torch', 'lightning', 'pytorch_lightning', 'textual', 'rich'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"


def test_a_missing_package_is_named_with_what_to_install(pl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import cockpit.lightning as door

    monkeypatch.setattr(door, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'training-cockpit\[lightning\]'"):
        _ = door.CockpitCallback
