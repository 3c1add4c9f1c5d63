"""Numbers that are not finite, or far too large, in every place they can come from: skipped, named, trained past."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from engine.protocol import events as e
from engine.tasks.person.config import PersonConfig
from engine.tasks.person.spec import LOSS_TERMS, REFINEMENTS
from tests.faults.planted import Plant, in_gradient, in_input, in_moment, in_term, in_weight, plant
from tests.faulty import entries, recovery, run, series, state_of, weights_of
from tests.small import PARTS, small_config

BAD = [math.nan, pytest.param(math.inf, marks=pytest.mark.slow)]
"""Both take the same way; the repetitions of faults in `forensics` meet infinities too."""
TRAINED = tuple(part for part in PARTS if part != "subpixel_conv")
"""Those that train when every refinement is on that goes with the others."""
EVERYTHING = {name: name != "subpixel_conv" for name in REFINEMENTS}


def _config(**training: object) -> PersonConfig:
    """Twenty-four steps with every refinement on that goes with the others."""
    sections = {"refinements": EVERYTHING}
    more = {"epochs": 60, "max_steps": 24, "warmup_epochs": 0.5, **training}
    rarely = {"validation": {"every_epochs": 5}, "checkpoint": {"every_epochs": 0}}  # an epoch has two steps
    return recovery(small_config(model=sections, training=more, **rarely), enabled=False)


def _all_finite(directory: Path) -> bool:
    return all(bool(torch.isfinite(weight).all()) for weight in weights_of(directory).values())


def _skipped(directory: Path) -> dict[int, e.StepSkipped]:
    """The skipped steps by their number, from 1."""
    return {number: event for number, event in _numbered(directory)}


def _numbered(directory: Path) -> list[tuple[int, e.StepSkipped]]:
    return [(entry.step, entry.event) for entry in entries(directory, e.StepSkipped)]  # type: ignore[misc]


@pytest.mark.parametrize("value", BAD)
def test_a_bad_value_in_each_loss_term_costs_its_own_step_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    faults: dict[int, Plant] = {3 + 2 * number: in_term(term, value) for number, term in enumerate(LOSS_TERMS)}
    plant(monkeypatch, faults)
    assert run(tmp_path / "run", _config(max_steps=18)) == 0
    assert {number: event.terms for number, event in _skipped(tmp_path / "run").items()} == {
        index + 1: (term,) for index, term in zip(faults, LOSS_TERMS, strict=True)
    }
    assert _all_finite(tmp_path / "run")
    assert state_of(tmp_path / "run").step == 18


@pytest.mark.parametrize("value", BAD)
def test_a_bad_gradient_of_each_module_costs_its_own_step_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    faults: dict[int, Plant] = {2 + 2 * number: in_gradient(part, value) for number, part in enumerate(TRAINED)}
    plant(monkeypatch, faults)
    assert run(tmp_path / "run", _config()) == 0
    assert {number: event.modules for number, event in _skipped(tmp_path / "run").items()} == {
        index + 1: (part,) for index, part in zip(faults, TRAINED, strict=True)
    }
    assert _all_finite(tmp_path / "run")


@pytest.mark.parametrize("value", BAD)
def test_a_bad_pixel_is_named_with_the_samples_of_its_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    plant(monkeypatch, {5: in_input(value)})
    assert run(tmp_path / "run", _config(max_steps=8)) == 0
    (skipped,) = _skipped(tmp_path / "run").values()
    (named,) = (entry.event for entry in entries(tmp_path / "run", e.FaultNamed))
    assert isinstance(named, e.FaultNamed)
    assert (named.direction, named.at_step, named.verdict) == ("input", 6, "reproduced")
    assert named.sample_ids and set(named.sample_ids) <= set(skipped.sample_ids)
    assert _all_finite(tmp_path / "run")


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("place", ["weight", "exp_avg", "exp_avg_sq"])
def test_a_bad_weight_or_moment_is_taken_back_to_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, value: float
) -> None:
    fault = in_weight("unet", value) if place == "weight" else in_moment("unet", place, value)
    plant(monkeypatch, {5: fault})
    config = recovery(_config(max_steps=12), enabled=True)
    assert run(tmp_path / "run", config) == 0
    back = entries(tmp_path / "run", e.RolledBack)
    assert [entry.actor for entry in back] == ["guardian"]
    assert _all_finite(tmp_path / "run")
    assert state_of(tmp_path / "run").step == 12


def test_a_loss_of_1e30_is_finite_and_is_clipped_not_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, {5: in_term("cross_entropy", 1e30)})
    assert run(tmp_path / "run", _config(max_steps=12)) == 0
    losses = series(tmp_path / "run", "loss/total")
    assert losses[6] == pytest.approx(1e30)
    assert max(loss for step, loss in losses.items() if step != 6) < 10
    assert _all_finite(tmp_path / "run")


def test_an_overflow_of_fp16_lowers_the_scale_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, {5: in_gradient("unet", math.inf)})
    config = _config(max_steps=12, mixed_precision=True, amp_dtype="fp16")
    assert run(tmp_path / "run", config) == 0
    assert 6 in _skipped(tmp_path / "run")
    assert _all_finite(tmp_path / "run")
    assert state_of(tmp_path / "run").step == 12
