"""Whole runs on a GPU: rows, resume, rollback, a NaN that is named, compiled networks and memory that runs out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import torch

from engine.errors import UserError
from engine.journal.writer import JournalWriter
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.words.script import ScriptedCommand
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.recorder import RunRecorder
from engine.runtime.start.bootstrap import RunRequest, initial_state
from engine.runtime.start.open_run import open_run
from engine.tasks.person.config import PersonConfig
from tests.faulty import entries, poison, same_weights, series, state_of
from tests.gpu.conftest import COMPILING, Trained
from tests.small import small_config

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:Synchronization debug mode"),
]

EPOCHS = 40


def test_each_step_is_recorded_once_although_reports_are_read_late(tmp_path: Path, trained: Trained) -> None:
    assert trained(tmp_path, small_config(training={"epochs": EPOCHS, "max_steps": 21})) == 0
    assert list(series(tmp_path, "loss/total")) == list(range(1, 22))
    state = state_of(tmp_path)
    assert state.step == 21
    assert state.loss == pytest.approx(series(tmp_path, "loss/total")[21])


EXACT = {"epochs": EPOCHS, "deterministic": True}


@pytest.mark.parametrize("precision", [{}, {"mixed_precision": True}, {"mixed_precision": True, "amp_dtype": "fp16"}])
def test_a_resume_is_exact(tmp_path: Path, trained: Trained, precision: dict[str, object]) -> None:
    straight, halves = tmp_path / "straight", tmp_path / "halves"
    whole = small_config(training={**EXACT, **precision, "max_steps": 12})
    assert trained(straight, whole) == 0
    assert trained(halves, small_config(training={**EXACT, **precision, "max_steps": 7})) == 0
    assert trained(halves, whole, resume=True) == 0
    assert series(halves, "loss/total") == series(straight, "loss/total")
    assert same_weights(halves, straight)


def test_a_rollback_repeats_the_steps_after_the_checkpoint(tmp_path: Path, trained: Trained) -> None:
    straight, back = tmp_path / "straight", tmp_path / "back"
    config = small_config(training={**EXACT, "max_steps": 12}, checkpoint={"every_steps": 3, "keep_last": 9})
    assert trained(straight, config) == 0
    assert trained(back, config, script=(ScriptedCommand(8, c.Rollback(), 1),)) == 0
    (rolled,) = entries(back, e.RolledBack)
    assert isinstance(rolled.event, e.RolledBack) and rolled.event.after == 6
    assert same_weights(back, straight)


def test_a_run_with_interventions_is_done_again_to_the_bit(tmp_path: Path, device: torch.device) -> None:
    (tmp_path / "script.txt").write_text("4: lower-lr 0.5\n8: set-clip 0.1\n")
    first, again = tmp_path / "first", tmp_path / "again"
    _called(
        "--no-ui",
        "--config",
        "tiny",
        "--run",
        "first",
        "--runs-dir",
        str(tmp_path),
        "--max-steps",
        "12",
        "--set",
        "training.deterministic=true",
        "--script",
        str(tmp_path / "script.txt"),
        "--device",
        device.type,
    )
    _called("redrive", str(first), "--run", "again", "--runs-dir", str(tmp_path))
    assert len(series(again, "loss/total")) == 12
    assert series(again, "loss/total") == series(first, "loss/total")
    assert same_weights(again, first)


def _called(*words: str) -> None:
    done = subprocess.run([sys.executable, "main.py", *words], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_operation_behind_a_nan_is_named(tmp_path: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch, "dice", lambda plan, batch: plan.step == 6)
    assert trained(tmp_path, small_config(training={"epochs": EPOCHS, "max_steps": 12})) == 0
    (skipped,) = entries(tmp_path, e.StepSkipped)
    assert isinstance(skipped.event, e.StepSkipped) and "dice" in skipped.event.terms
    assert entries(tmp_path, e.FaultNamed)
    assert state_of(tmp_path).step == 12


def test_a_turn_of_the_loop_never_waits_for_the_device(tmp_path: Path, cuda: torch.device) -> None:
    """The turn draws a batch, copies it, keeps evidence, executes the step, and records the one before."""
    rare, long = {"every_steps": 0, "every_epochs": 0}, {"epochs": 1_000, "batch_size": 1}
    config = small_config(training=long, checkpoint=rare, validation={"every_epochs": 999})
    journal = JournalWriter(tmp_path)
    journal.start()
    recorder = RunRecorder(initial_state("waits", config), journal)
    run = open_run(RunRequest(tmp_path, config, device="cuda"), None, recorder, Interrupt())
    recorder.set_activity(e.Activity.RUNNING)
    with closing(recorder), closing(run.train_state), closing(run.checkpointer):
        for _ in range(3):
            run.loop.turn()
        torch.cuda.synchronize()
        try:
            torch.cuda.set_sync_debug_mode("error")
            for _ in range(4):
                run.loop.turn()
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert recorder.state.step == 7


@COMPILING
def test_a_compiled_network_trains_and_resumes(tmp_path: Path, cuda: torch.device, trained: Trained) -> None:
    settings = {"compile": True}
    assert trained(tmp_path, small_config(model=settings, training={"epochs": EPOCHS, "max_steps": 4})) == 0
    more = small_config(model=settings, training={"epochs": EPOCHS, "max_steps": 6})
    assert trained(tmp_path, more, resume=True) == 0
    assert state_of(tmp_path).step == 6


@pytest.mark.parametrize("amp_dtype", ["fp16", "bf16"])
def test_mixed_precision_trains(tmp_path: Path, cuda: torch.device, trained: Trained, amp_dtype: str) -> None:
    training = {"mixed_precision": True, "amp_dtype": amp_dtype, "epochs": EPOCHS, "max_steps": 30}
    assert trained(tmp_path, small_config(training=training)) == 0
    losses = series(tmp_path, "loss/total")
    assert losses[30] < losses[1]


@contextmanager
def memory_of(cuda: torch.device, num_bytes: float) -> Generator[None]:
    """Let this process use as much memory of the device."""
    torch.cuda.empty_cache()
    total, index = torch.cuda.get_device_properties(cuda).total_memory, torch.cuda.current_device()
    torch.cuda.set_per_process_memory_fraction(num_bytes / total, index)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, index)
        torch.cuda.empty_cache()


def test_a_batch_that_the_gpu_does_not_hold_is_divided(tmp_path: Path, cuda: torch.device, trained: Trained) -> None:
    """The process may use half as much memory as its step needs beyond what a step of an eighth does."""

    def config(batch_size: int) -> PersonConfig:
        training = {"batch_size": batch_size, "max_steps": 2, "epochs": EPOCHS}
        return small_config(model={"roi_size": 128, "mask_size": 128}, training=training)

    peaks: list[int] = []
    for batch_size in (32, 4):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(cuda)
        assert trained(tmp_path / str(batch_size), config(batch_size)) == 0
        peaks.append(torch.cuda.max_memory_reserved(cuda))
    with memory_of(cuda, sum(peaks) / 2):
        assert trained(tmp_path / "short", config(32)) == 0
    state = state_of(tmp_path / "short")
    assert state.step == 2 and state.batch_size < 32 and state.batch_size * state.accumulation == 32
    assert "out of memory" in [entry.event.kind for entry in entries(tmp_path / "short", e.AlertRaised)]


def test_a_sample_that_no_gpu_holds_is_refused_with_a_sentence(
    tmp_path: Path, cuda: torch.device, trained: Trained
) -> None:
    huge = small_config(model={"roi_size": 512, "mask_size": 512, "unet_width": 64}, training={"batch_size": 1})
    allowed = torch.cuda.memory_allocated(cuda) + 64 * 2**20
    with memory_of(cuda, allowed), pytest.raises(UserError, match=r"memory is not enough for"):
        trained(tmp_path, huge)
