"""The cockpit in a Hugging Face trainer: one entry in the list of callbacks, and the trainer stays its own."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from engine.adapters.hooks import patches
from engine.adapters.trainers import training_frame
from engine.errors import UserError
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.events import Activity, Status
from tests.adapters.remote import Remote, steered


class Divided(Enum):
    """A way of training in several processes."""

    FSDP = "FSDP"


@pytest.fixture(scope="module")
def hf() -> Any:
    """Return the support of these tests; transformers is imported only by the process that runs them."""
    pytest.importorskip("transformers", reason="the extra `huggingface` is not installed")
    pytest.importorskip("accelerate", reason="the extra `huggingface` is not installed")
    from tests.adapters import hf_trainer

    return hf_trainer


def test_a_nan_at_step_7_changes_no_bit_and_is_named_although_the_trainer_clips(hf: Any, tmp_path: Path) -> None:
    ours = hf.trainer(tmp_path, hf.cockpit(tmp_path), poisoned=True)
    ours.train()
    reference = hf.trainer(tmp_path, hf.WithoutStep7(), poisoned=True)
    reference.train()
    expected = hf.weights_and_moments(reference)
    found = hf.weights_and_moments(ours)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)
    assert all(torch.isfinite(value).all() for value in found.values())
    (skipped,) = hf.events_of(tmp_path, e.StepSkipped)
    assert "head.weight" in skipped.modules and "body.0.weight" in skipped.modules
    assert [entry.step for entry in hf.entries_of(tmp_path, ["step_skipped"])] == [7]
    (named,) = hf.events_of(tmp_path, e.FaultNamed)
    assert named.at_step == 7 and named.module == "logarithm" and "log" in named.operation
    assert hf.state_of(tmp_path).activity is Activity.FINISHED


def test_the_loss_of_a_nan_step_is_recorded_although_the_trainer_hides_it(hf: Any, tmp_path: Path) -> None:
    made = hf.trainer(tmp_path, hf.cockpit(tmp_path), poisoned=True, logging_steps=1)
    made.train()
    assert [row["loss"] for row in made.state.log_history if row["step"] == 7] == [0.0]
    series = hf.series_of(tmp_path, ["loss/total", "grad_norm/total"])
    assert len(series.steps) == 12
    losses = list(series.values["loss/total"])
    assert [step for step, loss in zip(series.steps, losses, strict=True) if np.isnan(loss)] == [7]


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_half_the_rate_is_exactly_half_of_the_schedule(hf: Any, tmp_path: Path, schedule: str) -> None:
    plain, steered_rates = hf.Rates(), hf.Rates()
    hf.trainer(tmp_path, plain, lr_scheduler_type=schedule).train()
    callback = hf.cockpit(tmp_path)
    hf.trainer(
        tmp_path, hf.At(4, callback, c.ScaleLr(0.5)), callback, steered_rates, lr_scheduler_type=schedule
    ).train()
    assert steered_rates.used == plain.used[:4] + [rate * 0.5 for rate in plain.used[4:]]
    assert steered_rates.scheduled == plain.scheduled
    recorded = list(hf.series_of(tmp_path, ["lr"]).values["lr"])
    assert recorded == pytest.approx(steered_rates.used, rel=1e-6)


def test_pause_steps_checkpoint_validation_and_stop_take_effect(hf: Any, tmp_path: Path) -> None:
    callback = hf.cockpit(tmp_path)
    made = hf.trainer(tmp_path, callback, max_steps=1_000_000, eval_strategy="steps", eval_steps=500_000)

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
    assert made.state.global_step == hf.state_of(tmp_path).step
    (finished,) = hf.events_of(tmp_path, e.RunFinished)
    assert finished.reason == "stopped"


def test_a_knob_is_live_and_bounded(hf: Any, tmp_path: Path) -> None:
    callback = hf.cockpit(tmp_path)
    temperature = callback.knob("temperature", 0.7, low=0.1, high=2.0)
    seen: list[Any] = []

    class Reads(hf.TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            seen.append(temperature())

    assert temperature() == 0.7
    hf.trainer(tmp_path, hf.At(4, callback, c.SetKnob("temperature", 1.5)), callback, Reads()).train()
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
def test_what_it_cannot_do_is_refused_with_the_reason(hf: Any, tmp_path: Path, command: Any, reason: str) -> None:
    callback = hf.cockpit(tmp_path)
    made = hf.trainer(tmp_path, hf.At(3, callback, command), callback)
    made.train()
    (entry,) = [entry for entry in hf.entries_of(tmp_path) if entry.status is Status.REFUSED]
    assert reason in entry.reason
    assert made.state.global_step == 12


def test_a_fault_of_the_cockpit_detaches_it_and_the_training_completes(
    hf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TRAINING_COCKPIT_RAISE")
    callback = hf.cockpit(tmp_path)
    calls: list[Any] = []

    def broken(*_: Any) -> dict[str, float]:
        calls.append(_)
        if len(calls) == 5:
            raise RuntimeError("a fault of ours")
        return {}

    made = hf.trainer(tmp_path, callback)
    monkeypatch.setattr(callback.cockpit.weights, "read", broken)
    made.train()
    assert made.state.global_step == 12
    assert "detached after a fault of its own" in capsys.readouterr().err
    assert "a fault of ours" in (tmp_path / "runs" / "hf" / "console.log").read_text()
    inner: Any = made.optimizer.optimizer  # type: ignore[union-attr]
    assert not inner._optimizer_step_pre_hooks and not inner._optimizer_step_post_hooks
    assert not patches._watching
    assert hf.state_of(tmp_path).activity is Activity.FINISHED


def test_accumulated_batches_are_one_step_with_their_mean_loss(hf: Any, tmp_path: Path) -> None:
    callback = hf.cockpit(tmp_path)
    made = hf.trainer(tmp_path, callback, gradient_accumulation_steps=3, max_steps=6, logging_steps=1)
    made.train()
    series = hf.series_of(tmp_path, ["loss/total"])
    logged = [row["loss"] for row in made.state.log_history if "loss" in row]
    assert len(series.steps) == 6
    assert list(series.values["loss/total"]) == pytest.approx(logged, abs=1e-4)
    with hf.journal(tmp_path) as reader:
        layers = [name for name in reader.metric_names(of_layers=True) if name.endswith("/update_ratio")]
    measured = hf.series_of(tmp_path, layers)
    assert measured.steps.tolist() == [1] and all(values[0] > 0 for values in measured.values.values())


def test_numbers_that_are_logged_after_the_last_step_are_in_its_row(hf: Any, tmp_path: Path) -> None:
    made = hf.trainer(tmp_path, hf.cockpit(tmp_path), max_steps=3, logging_steps=1)
    log = made.log

    def with_shown(logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        log({**logs, "shown": float(made.state.global_step)}, *args, **kwargs)

    made.log = with_shown
    made.train()
    series = hf.series_of(tmp_path, ["log/shown", "loss/total"])
    assert list(series.steps) == [1, 2, 3]
    assert series.values["log/shown"][2] == 3.0
    assert all(math.isfinite(value) for value in series.values["loss/total"])


def test_evaluations_are_recorded_with_the_best_score(hf: Any, tmp_path: Path) -> None:
    made = hf.trainer(
        tmp_path,
        hf.cockpit(tmp_path),
        eval_strategy="steps",
        eval_steps=4,
        metric_for_best_model="accuracy",
        save_strategy="steps",
        save_steps=4,
    )
    made.compute_metrics = lambda found: {"accuracy": float((found.predictions.argmax(1) == found.label_ids).mean())}
    made.train()
    logged = [row["eval_accuracy"] for row in made.state.log_history if "eval_accuracy" in row]
    measured = hf.events_of(tmp_path, e.ValidationCompleted)
    assert [one.metrics["accuracy"] for one in measured] == pytest.approx(logged)
    assert set(measured[0].metrics) == {"accuracy"} and measured[0].loss > 0
    assert hf.state_of(tmp_path).best_score == pytest.approx(max(logged))
    saved = hf.events_of(tmp_path, e.CheckpointSaved)
    assert [Path(one.path).name for one in saved] == ["checkpoint-4", "checkpoint-8", "checkpoint-12"]
    assert {one.kind for one in saved} == {"step"}


def test_a_resumed_training_goes_on_in_the_same_run_with_the_decisions_at_its_step(hf: Any, tmp_path: Path) -> None:
    callback = hf.cockpit(tmp_path)
    first = hf.trainer(
        tmp_path, hf.At(3, callback, c.ScaleLr(0.5)), callback, max_steps=12, save_strategy="steps", save_steps=4
    )
    first.train()
    rates, again = hf.Rates(), hf.cockpit(tmp_path, resume=True)
    second = hf.trainer(tmp_path, again, rates, max_steps=12)
    second.train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-8"))
    with hf.journal(tmp_path) as reader:
        assert list(reader.series(["lr"]).steps) == list(range(1, 13))
        assert [branch for branch, _ in reader.lineage()] == [0, 1]
    assert rates.used == pytest.approx([1e-2 * 0.5 * (12 - step) / 12 for step in range(8, 12)])


def test_a_name_that_exists_is_refused_before_the_first_step(hf: Any, tmp_path: Path) -> None:
    hf.trainer(tmp_path, hf.cockpit(tmp_path), max_steps=1).train()
    again = hf.trainer(tmp_path, hf.cockpit(tmp_path), max_steps=1)
    with pytest.raises(UserError, match="exists"):
        again.train()
    assert again.state.global_step == 0


def failing(hf: Any) -> Any:
    class Fails(hf.TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 3:
                raise ZeroDivisionError("their own")

    return Fails()


@pytest.mark.parametrize("is_handled_long", [True, False])
def test_an_exception_that_the_program_survives_ends_the_run_as_failed_at_once(
    hf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_handled_long: bool
) -> None:
    """Otherwise a notebook would show a training that goes on for ever."""
    monkeypatch.setattr(training_frame, "_LOOK_SECONDS", 0.0)

    def await_failure() -> None:
        until = time.monotonic() + 30
        while hf.state_of(tmp_path).activity is not Activity.FAILED:
            assert time.monotonic() < until
            time.sleep(0.01)

    callback = hf.cockpit(tmp_path)
    made = hf.trainer(tmp_path, callback, failing(hf))
    try:
        made.train()
    except ZeroDivisionError:
        if is_handled_long:
            await_failure()
    await_failure()
    (failed,) = hf.events_of(tmp_path, e.RunFailed)
    assert "their own" in failed.error or (not is_handled_long and "left the trainer" in failed.error)
    assert not patches._watching
    made.model(x=torch.randn(2, 4), labels=torch.tensor([0, 1]))
    made.optimizer.step()  # type: ignore[union-attr]
    callback.cockpit.at_exit()
    assert not made.optimizer.optimizer._optimizer_step_pre_hooks  # type: ignore[union-attr]


def test_an_exception_that_ends_the_program_ends_the_run_as_failed(
    hf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_frame, "_LOOK_SECONDS", 1e9)
    callback = hf.cockpit(tmp_path)
    with pytest.raises(ZeroDivisionError) as caught:
        hf.trainer(tmp_path, callback, failing(hf)).train()
    monkeypatch.setattr(sys, "last_value", caught.value, raising=False)
    monkeypatch.setattr(sys, "last_exc", caught.value, raising=False)
    callback.cockpit.at_exit()
    assert hf.state_of(tmp_path).activity is Activity.FAILED
    (failed,) = hf.events_of(tmp_path, e.RunFailed)
    assert "their own" in failed.error


def test_processes_that_divide_the_network_are_left_alone(
    hf: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    divided = SimpleNamespace(world_size=2, distributed_state=SimpleNamespace(distributed_type=Divided.FSDP))
    hf.cockpit(tmp_path).on_train_begin(divided, None, None)
    assert "not attached" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_processes_that_each_train_alone_are_refused_with_the_remedy(
    hf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.adapters.trainers.huggingface.num_processes", lambda: 2)
    with pytest.raises(UserError, match=r"started as 2 processes, but .*use_cpu=True"):
        hf.cockpit(tmp_path).on_train_begin(SimpleNamespace(world_size=1), None, None)
    assert not (tmp_path / "runs").exists()


def test_the_public_module_alone_imports_nothing_heavy() -> None:
    program = "import sys, cockpit.huggingface; print({'torch', 'transformers', 'textual', 'rich'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"


def test_a_missing_package_is_named_with_what_to_install(hf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import cockpit.huggingface as door

    def absent(name: str) -> Any:
        raise ModuleNotFoundError("No module named 'transformers'", name="transformers")

    monkeypatch.setattr(door, "import_module", absent)
    with pytest.raises(ImportError, match=r"pip install 'training-cockpit\[huggingface\]'"):
        _ = door.CockpitCallback


def test_a_second_training_of_one_trainer_is_a_run_of_its_own(hf: Any, tmp_path: Path) -> None:
    """As of a trainer that begins again with smaller batches after a lack of memory: it must not end in an error."""
    made = hf.trainer(tmp_path, hf.cockpit(tmp_path), max_steps=2)
    made.train()
    made.train()
    made.train()
    runs = sorted(path.parent.name for path in tmp_path.rglob("run.sqlite"))
    assert runs == [runs[0], f"{runs[0]}-2", f"{runs[0]}-3"]
