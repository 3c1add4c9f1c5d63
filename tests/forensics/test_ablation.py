"""Each refinement off in turn from one checkpoint: the harmful one is found, and the run is unchanged."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.errors import UserError
from engine.forensics.ablation import ablate
from engine.outputs.ablation_report import FINITE, NOT_FINITE, AblationRequest
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.start.bootstrap import RunRequest
from engine.runtime.train import train
from engine.training.checkpoint.file import checkpoint_name
from tests.forensics.scene import SpoiltGradient, build_scene, spoil_term
from tests.forensics.test_offline import recorded
from tests.small import small_config

ON = ("boundary_refinement", "boundary_aware_loss", "active_contour_loss")
CONFIG = small_config(
    model={"refinements": dict.fromkeys(ON, True), "dropout": 0.2}, training={"max_steps": 6, "epochs": 20}
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound run of six steps."""
    torch.manual_seed(0)
    directory = tmp_path_factory.mktemp("ablation") / "run"
    directory.mkdir()
    assert train(RunRequest(directory, CONFIG, device="cpu"), Interrupt()) == 0
    return directory


def content(directory: Path) -> dict[str, str]:
    """A digest of every file, but for the journal's own bookkeeping of readers."""
    files = [path for path in directory.rglob("*") if path.is_file() and "sqlite" not in path.name]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_refinement_whose_term_breaks_the_steps_is_to_blame(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil_term(monkeypatch, "active_contour", lambda value: value / 0)
    before, state = content(run), torch.get_rng_state()
    heard: list[str] = []
    result = ablate(AblationRequest(run, 3, device="cpu"), heard.append)
    assert result.blamed == ("active_contour_loss",) and "to blame" in result.words
    assert result.control.num_not_finite == 3 and math.isnan(result.control.base_loss)
    assert result.variants[0].without == "active_contour_loss"
    assert result.variants[0].num_not_finite == 0 and math.isfinite(result.variants[0].norm_max)
    assert heard == ["", *sorted(ON)]
    assert content(run) == before and torch.equal(torch.get_rng_state(), state)


def test_a_sound_run_has_none_to_blame_and_the_control_repeats_itself(run: Path) -> None:
    first, second = (ablate(AblationRequest(run, 3, device="cpu")) for _ in range(2))
    assert first.blamed == () and "none is to blame" in first.words
    assert first.control == second.control and first.variants == second.variants
    assert {variant.base_loss for variant in first.variants} != {first.control.base_loss}


def test_a_term_that_makes_large_gradients_is_the_least_calm(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def steep(value: Tensor) -> Tensor:
        return value + 300 * (value - value.detach())

    spoil_term(monkeypatch, "boundary_aware", steep)
    result = ablate(AblationRequest(run, 3, device="cpu"))
    assert result.blamed == ("boundary_aware_loss",) and "least stable" in result.words


def test_the_recorded_batch_is_tried_without_each_refinement(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_term(monkeypatch, "active_contour", lambda value: SpoiltGradient.apply(value, math.inf))
    folder = recorded(tmp_path, build_scene(refinements=frozenset(ON)))
    result = ablate(AblationRequest(run, 1, folder=folder, device="cpu"))
    assert result.control.bad_batch == NOT_FINITE
    assert {v.without: v.bad_batch for v in result.variants} == {
        "active_contour_loss": FINITE,
        "boundary_aware_loss": NOT_FINITE,
        "boundary_refinement": NOT_FINITE,
    }


def test_another_checkpoint_can_be_asked_for_and_one_that_is_not_there_is_said(run: Path) -> None:
    result = ablate(AblationRequest(run, 1, checkpoint=checkpoint_name(6), device="cpu"))
    assert (result.from_step, result.checkpoint) == (6, checkpoint_name(6))
    for name in ("step-0000009.pt", "../config.yaml", "..", "a\nb"):
        with pytest.raises(UserError, match="no checkpoint"):
            ablate(AblationRequest(run, 1, checkpoint=name, device="cpu"))


def test_without_a_last_good_checkpoint_the_newest_is_taken(run: Path, tmp_path: Path) -> None:
    copied = tmp_path / "run"
    (copied / "checkpoints").mkdir(parents=True)
    (copied / "config.yaml").write_text((run / "config.yaml").read_text())
    with pytest.raises(UserError, match="no usable checkpoint"):
        ablate(AblationRequest(copied, 1, device="cpu"))
    for path in (run / "checkpoints").glob("step-*6.pt*"):
        (copied / "checkpoints" / path.name).write_bytes(path.read_bytes())
    assert ablate(AblationRequest(copied, 1, device="cpu")).from_step == 6
