"""Memory that runs out in a validation: it is measured in smaller parts, and has the same scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.protocol import commands as c
from engine.protocol import events as e
from engine.training.checkpoint.file import load_checkpoint
from engine.training.data.spans import assemble
from engine.training.loss_sum import Objective
from tests.faults.test_halving import CUDA, alerts, at_step
from tests.faulty import entries, run
from tests.small import small_config

STEPS = {"epochs": 40, "max_steps": 4}
VALIDATION = {"batch_size": 4, "every_epochs": 1}


def shorten(monkeypatch: pytest.MonkeyPatch, fits: int) -> list[int]:
    """Raise the device's error after the forward pass of more than `fits` samples; return the sizes of all passes."""
    work = Objective.outputs
    sizes: list[int] = []

    def outputs(objective: Objective, model: Any, tensors: Any, *rest: Any) -> Any:
        done = work(objective, model, tensors, *rest)
        if not model.training:
            sizes.append(len(next(iter(tensors.values()))))
            if sizes[-1] > fits:
                raise torch.OutOfMemoryError(CUDA)
        return done

    monkeypatch.setattr(Objective, "outputs", outputs)
    return sizes


def starve(monkeypatch: pytest.MonkeyPatch, num_val: int, fits: int) -> list[int]:
    """Raise the processor's error while more than `fits` samples of the validation are prepared; return all sizes."""
    sizes: list[int] = []

    def assembled(samples: Any, span: Any) -> Any:
        if len(samples) == num_val:
            sizes.append(len(span.own))
            if sizes[-1] > fits:
                raise MemoryError("cannot allocate 20.00 GiB")
        return assemble(samples, span)

    monkeypatch.setattr("engine.training.data.stream.assemble", assembled)
    return sizes


def validations(directory: Path) -> list[e.ValidationCompleted]:
    found = [entry.event for entry in entries(directory, e.ValidationCompleted)]
    return [event for event in found if isinstance(event, e.ValidationCompleted)]


def test_a_validation_is_measured_in_parts_and_has_the_same_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(training=STEPS, validation=VALIDATION)
    assert run(tmp_path / "usual", config) == 0
    usual = validations(tmp_path / "usual")
    sizes = shorten(monkeypatch, fits=1)
    assert run(tmp_path / "run", config) == 0
    found = validations(tmp_path / "run")
    assert max(sizes) > 1 and sizes.count(max(sizes)) == 1, "a later batch is not tried whole again"
    assert len(found) == len(usual) > 1
    for one, other in zip(found, usual, strict=True):
        np.testing.assert_allclose([*one.metrics.values()], [*other.metrics.values()], rtol=1e-6)
        np.testing.assert_allclose([one.loss], [other.loss], rtol=0.05)  # terms that divide by pixels of the batch
    step = entries(tmp_path / "run", e.ValidationCompleted)[0].step
    said = alerts(tmp_path / "run")
    start = f"out of memory in the validation at step {step} (20.00 GiB asked): "
    assert said[0].startswith(f"{start}{max(sizes)} samples are measured in parts of ")
    assert said[-1].endswith(" of 1; the scores are of all samples as before")
    assert len(said) == {4: 2, 3: 1, 2: 1}[max(sizes)]


def test_a_validation_of_which_no_sample_fits_ends_with_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten(monkeypatch, fits=0)
    config = small_config(training=STEPS, validation={**VALIDATION, "every_epochs": 50})
    script = at_step(1, c.Validate())
    assert run(tmp_path / "run", config, script=script) == 1
    failed = entries(tmp_path / "run", e.RunFailed)[-1].event
    assert isinstance(failed, e.RunFailed)
    assert failed.error.startswith("the memory is not enough for a validation of one sample (20.00 GiB more were asked")
    assert "lower the sizes under model" in failed.error
    assert failed.error.endswith(", and --resume it from step-00000001.pt")
    assert load_checkpoint(tmp_path / "run" / "checkpoints" / "step-00000001.pt")["step"] == 1


def test_data_of_a_validation_are_prepared_in_parts_and_the_scores_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(training=STEPS, validation=VALIDATION)
    assert run(tmp_path / "usual", config) == 0
    usual = validations(tmp_path / "usual")
    sizes = starve(monkeypatch, num_val_of(tmp_path / "usual"), fits=1)
    assert run(tmp_path / "run", config) == 0
    found = validations(tmp_path / "run")
    assert 1 in sizes and len(found) == len(usual) > 1
    for one, other in zip(found, usual, strict=True):
        np.testing.assert_allclose([*one.metrics.values()], [*other.metrics.values()], rtol=1e-6)
    step = entries(tmp_path / "run", e.ValidationCompleted)[0].step
    said = alerts(tmp_path / "run")
    assert len(said) == {4: 2, 3: 1, 2: 1}[max(sizes)], "each size is reported once"
    start = f"out of memory while data were prepared for the validation at step {step} (20.00 GiB asked): "
    assert said[0].startswith(f"{start}{max(sizes)} samples are prepared in parts of ")
    assert said[-1].endswith(" in parts of 1; the scores are of all samples as before")


def test_data_of_a_validation_of_which_no_sample_fits_end_the_run_with_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(training=STEPS, validation={**VALIDATION, "every_epochs": 50})
    assert run(tmp_path / "usual", config) == 0
    starve(monkeypatch, num_val_of(tmp_path / "usual"), fits=0)
    assert run(tmp_path / "run", config, script=at_step(2, c.Validate())) == 1
    failed = entries(tmp_path / "run", e.RunFailed)[-1].event
    assert isinstance(failed, e.RunFailed)
    assert failed.error == (
        "the memory is not enough for preparing one sample of a validation (20.00 GiB more were asked for): take fewer "
        "or smaller images, or lower data.num_workers, and --resume it from step-00000002.pt"
    )


def num_val_of(directory: Path) -> int:
    started = entries(directory, e.RunStarted)[0].event
    assert isinstance(started, e.RunStarted) and started.num_val_samples != started.num_train_samples
    return started.num_val_samples
