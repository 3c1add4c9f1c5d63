"""Memory that runs out and batches that kill each reader: one sentence with the key to change, and a checkpoint."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from engine.errors import UserError
from engine.journal.disk.run_dir import CHECKPOINTS
from engine.protocol import events as e
from engine.runtime.outages.memory import is_out_of_memory
from engine.runtime.validator import Validator
from engine.task import Sample
from engine.tasks.person.data.dataset import RoiDataset
from engine.tasks.person.task import PersonTask
from engine.training.checkpoint.file import checkpoint_name, list_checkpoints
from engine.training.step import TrainStep
from tests.faulty import entries, run
from tests.small import small_config

CPU = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
    "14400000000 bytes. Error code 12 (Cannot allocate memory)"
)
CUDA = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79 GiB")
ERRORS = [MemoryError(), MemoryError("Unable to allocate 3.20 GiB for an array with shape (9, 9)"), CPU, CUDA]
STEPS = {"epochs": 40, "max_steps": 6}


def _reason(directory: Path) -> str:
    event = entries(directory, e.RunFailed)[-1].event
    assert isinstance(event, e.RunFailed)
    return event.error


@pytest.mark.parametrize("error", ERRORS, ids=["plain", "numpy", "cpu", "cuda"])
def test_a_configuration_that_needs_too_much_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def build(task: PersonTask, config: object) -> None:
        raise error

    monkeypatch.setattr(PersonTask, "build_model", build)
    with pytest.raises(UserError, match=r"not enough for building the network.*lower the sizes under model"):
        run(tmp_path / "run", small_config(training=STEPS))
    assert "not enough for building the network" in _reason(tmp_path / "run")


def test_a_network_too_large_for_a_step_of_one_sample_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(*_: object) -> None:
        raise CPU

    monkeypatch.setattr(TrainStep, "run", step)
    with pytest.raises(UserError, match=r"a training step of one sample \(13.4 GiB more .*: lower the sizes"):
        run(tmp_path / "run", small_config(training=STEPS))


@pytest.mark.parametrize("error", ERRORS, ids=["plain", "numpy", "cpu", "cuda"])
@pytest.mark.parametrize("place", ["step", pytest.param("validation", marks=pytest.mark.slow)])
def test_memory_that_runs_out_in_a_run_keeps_its_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, place: str
) -> None:
    owner, name = (TrainStep, "run") if place == "step" else (Validator, "validate")
    real, calls = getattr(owner, name), list[int]()

    def fail_in_time(*args: object) -> object:
        calls.append(1)
        if len(calls) >= (3 if place == "validation" else 4):
            raise error
        return real(*args)

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, fail_in_time)
        assert run(tmp_path / "run", small_config(training=STEPS, checkpoint={"every_steps": 2})) == 1
    reason = _reason(tmp_path / "run")
    newest = list_checkpoints(tmp_path / "run" / CHECKPOINTS)[-1].name
    assert ("of one sample" if place == "step" else "validation.batch_size") in reason and newest in reason
    assert newest != checkpoint_name(0)
    assert run(tmp_path / "run", small_config(training=STEPS), resume=True) == 0


def test_only_memory_is_taken_for_memory() -> None:
    assert all(map(is_out_of_memory, [*ERRORS, OSError(12, "Cannot allocate memory")]))
    assert not any(map(is_out_of_memory, [RuntimeError("shapes differ"), OSError(28, "no space"), ValueError("12")]))


@pytest.mark.slow
def test_a_batch_that_kills_every_worker_ends_the_run_with_a_checkpoint_and_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_deadly(samples: RoiDataset) -> tuple[type[_Deadly], tuple[int]]:
        return _Deadly, (len(samples),)

    monkeypatch.setattr(RoiDataset, "__reduce__", as_deadly)
    scenes = {"num_train_scenes": 6, "num_val_scenes": 2, "image_size": 64, "max_people": 3}
    data = {"synthetic": scenes, "num_workers": 1}
    directory = tmp_path / "run"
    assert run(directory, small_config(training=STEPS, data=data)) == 1
    assert "data workers died one after the other (exit code 3) on the batch of" in _reason(directory)
    assert "data.num_workers to 0" in _reason(directory)
    assert list_checkpoints(directory / CHECKPOINTS)
    monkeypatch.undo()
    assert run(directory, small_config(training=STEPS, data=data), resume=True) == 0


class _Deadly:
    """Samples as a worker gets them, whose reading ends the process."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length

    def sample(self, epoch: int, index: int) -> Sample:
        os._exit(3)
