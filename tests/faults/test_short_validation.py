"""Memory that runs out in a validation: it is measured in smaller parts, and has the same scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.protocol import commands as c
from engine.protocol import events as e
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
