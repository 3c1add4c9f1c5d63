"""Open a trained network: which checkpoint of a run is taken, which weights, and what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.errors import UserError
from engine.journal.disk.run_dir import CHECKPOINTS
from engine.training.checkpoint.checksum import checksum_path
from engine.training.checkpoint.file import BEST, list_checkpoints, read_checkpoint
from engine.training.inference.trained_model import open_trained
from tests.faulty import run
from tests.small import small_config

CONFIG = small_config(training={"max_steps": 2})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps, which validated once and so has a best checkpoint."""
    directory = tmp_path_factory.mktemp("opened") / "run"
    assert run(directory, CONFIG) == 0
    return directory


def altered(trained: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """A file with the content of the best checkpoint, changed, and without a checksum."""
    payload = read_checkpoint(trained / CHECKPOINTS / BEST)
    change(payload)
    torch.save(payload, tmp_path / "altered.pt")
    return tmp_path / "altered.pt"


def test_of_a_run_the_best_checkpoint_is_taken_in_evaluation_mode_with_its_own_configuration(trained: Path) -> None:
    opened = open_trained(trained, device="cpu")
    assert opened.checkpoint == trained / CHECKPOINTS / BEST and opened.step == 2
    assert opened.config == CONFIG and opened.weights == "trained" and not opened.model.training
    assert opened.components == CONFIG.active_components() and opened.device.type == "cpu"
    held = read_checkpoint(opened.checkpoint)["model"]
    assert all(torch.equal(value, held[name]) for name, value in opened.model.state_dict().items())


def test_without_a_best_checkpoint_the_newest_one_is_taken_that_can_be_read(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(trained, copy)
    (copy / CHECKPOINTS / BEST).unlink()
    *_, newest = paths = list_checkpoints(copy / CHECKPOINTS)
    assert open_trained(copy, device="cpu").checkpoint == newest
    newest.write_bytes(newest.read_bytes()[:-100])
    assert open_trained(copy, device="cpu").checkpoint == paths[0]
    for path in paths:
        checksum_path(path).unlink()
    with pytest.raises(UserError, match=r"all 2 checkpoints in .* are damaged, the newest thus: step-00000002"):
        open_trained(copy, device="cpu")


def test_averaged_weights_are_taken_unless_others_are_asked_for(trained: Path, tmp_path: Path) -> None:
    def average(payload: dict[str, Any]) -> None:
        payload["averaged_model"] = {name: value / 2 for name, value in payload["model"].items()}

    file = altered(trained, tmp_path, average)
    name, weight = next(iter(read_checkpoint(file)["model"].items()))
    opened = open_trained(file, device="cpu")
    assert opened.weights == "averaged" and torch.equal(opened.model.state_dict()[name], weight / 2)
    opened = open_trained(file, device="cpu", weights="trained")
    assert opened.weights == "trained" and torch.equal(opened.model.state_dict()[name], weight)
    with pytest.raises(UserError, match="no averaged weights"):
        open_trained(trained, device="cpu", weights="averaged")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda payload: payload.pop("config"), "does not say which task"),
        (lambda payload: payload.pop("moments"), "a loop of its own, which alone can build the network: load the wei"),
        (lambda payload: payload.update(config="training: {epoch: 5}"), "did you mean 'training.epochs'"),
        (lambda payload: payload["model"].popitem(), "does not fit the network of its own configuration: it lacks 1"),
        (lambda payload: next(iter(payload["model"].values())).fill_(torch.nan), "is not finite"),
        (lambda payload: payload.update(state="{}"), "its state cannot be read"),
        (lambda payload: payload.update(averaged_model={"a": 1}), "averaged weights are not tensors by name"),
        (lambda payload: payload.update(format=7), "not a checkpoint of this program"),
    ],
)
def test_a_foreign_or_unfit_checkpoint_is_one_sentence(
    trained: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object], complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint) as refused:
        open_trained(altered(trained, tmp_path, change), device="cpu")
    assert "\n" not in str(refused.value)


def test_a_missing_or_damaged_file_and_a_run_without_checkpoints_are_one_sentence(
    trained: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"there is no checkpoint .*nothing"):
        open_trained(tmp_path / "nothing.pt", device="cpu")
    with pytest.raises(UserError, match="there is no checkpoint in"):
        open_trained(tmp_path, device="cpu")
    copy = tmp_path / "run"
    shutil.copytree(trained, copy)
    best = copy / CHECKPOINTS / BEST
    best.write_bytes(best.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"best\.pt does not match its checksum; give another checkpoint"):
        open_trained(copy, device="cpu")
    (tmp_path / "text.pt").write_text("no checkpoint")
    with pytest.raises(UserError, match=r"text\.pt cannot be read as a checkpoint"):
        open_trained(tmp_path / "text.pt", device="cpu")
