"""Another process finds the same fault from the evidence folder alone, and reports damaged or foreign folders."""

from __future__ import annotations

import json
import math
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.errors import UserError
from engine.forensics.diagnose import name_fault
from engine.forensics.evidence_dir import BATCH_FILE, WEIGHTS_FILE, weights_payload, write_evidence
from engine.forensics.offline import diagnose
from engine.journal.disk.run_dir import CONFIG_FILE
from engine.journal.store import JOURNAL_FILE
from engine.outputs.fault_report import (
    REPORT_JSON,
    VANISHED,
    Fault,
    ForensicReport,
    find_folder,
    folders_of,
    read_report,
)
from engine.protocol.codec import to_text
from engine.training.optimizer import moments_of
from tests.forensics.scene import Scene, SpoiltGradient, after, build_scene, first_convolution
from tests.forensics.test_diagnose import attached
from tests.forked import CapturedProcess, Forked
from tests.recorded import ROOT, writing
from tests.small import with_tensor


def recorded(run_dir: Path, scene: Scene, *, step: int = 4, evidence: Any = None) -> Path:
    """Write down the scene's fault as the engine does."""
    evidence = evidence or scene.evidence()
    moments = moments_of(scene.train_step.optimizer, scene.model)
    fault = name_fault(scene.objective, scene.model, moments, evidence)
    report = ForensicReport(
        step=step, time=0.0, seconds=0.1, fault=fault, remedy="", loss=1.0, grad_norm=math.nan, learning_rate=1e-4,
        refinements=evidence.plan.active, mixed_precision="", device="cpu", bad_terms=(), bad_modules=(),
        sample_ids=evidence.sample_ids, batch=(),
    )  # fmt: skip
    keep = fault.module if fault.direction == "moment" else ""
    return write_evidence(run_dir, scene.config, evidence, report, weights_payload(scene.model, moments, keep=keep))


def with_nan_pixel(scene: Scene) -> Any:
    image = scene.batch.tensors["image_N3HW"].clone()
    image[1, 0, 0, 0] = math.nan
    return scene.evidence(with_tensor(scene.batch, "image_N3HW", image))


@pytest.mark.parametrize("fault", ["input", "weight", "moment", "vanished"])
def test_the_folder_alone_tells_the_same(tmp_path: Path, fault: str) -> None:
    scene = build_scene()
    weight = first_convolution(scene.model, "shared")[1].weight
    if fault == "weight":
        with torch.no_grad():
            weight[0, 0, 0, 0] = math.nan
    if fault == "moment":
        scene.train_step.optimizer.state[weight]["exp_avg"].fill_(math.inf)
    folder = recorded(tmp_path, scene, evidence=with_nan_pixel(scene) if fault == "input" else None)
    found = diagnose(folder, "cpu")
    assert found.same and found.seconds > 0
    assert found.replayed.verdict == VANISHED if fault == "vanished" else found.replayed.direction == fault
    assert to_text(found.replayed) == to_text(found.recorded.fault), "its numbers are the same too"


def test_code_that_was_mended_meanwhile_is_told_by_a_replay_that_differs(tmp_path: Path) -> None:
    scene = build_scene()
    after(first_convolution(scene.model, "unet")[1], lambda out: SpoiltGradient.apply(out, math.nan))
    found = diagnose(recorded(tmp_path, scene), "cpu")
    assert not found.same and found.recorded.fault.operation == "SpoiltGradient"
    assert found.replayed.verdict == VANISHED


# --- as a program -----------------------------------------------------------------------


def program(*words: object) -> tuple[int | None, str, str]:
    """Run the program; return its exit code, its output and its errors."""
    process = CapturedProcess(Forked([str(word) for word in words], "tests.forensics.injected_main"), ROOT, os.environ)
    out, err = process.communicate(100)
    return process.returncode, out, err


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_in_programs: None) -> Path:
    """A run whose fourth step hit the published edge map's tie."""
    directory = tmp_path / "run"
    with writing(directory):
        scene = build_scene()
        with monkeypatch.context() as patched:
            patched.setattr("engine.tasks.person.model.boundary_refinement.BoundaryRefinement.forward", attached)
            recorded(directory, scene)
    return directory


def test_another_process_says_the_same_and_exits_with_0(run: Path) -> None:
    code, out, err = program("with", "diagnose", run)
    assert code == 0, err
    assert "backward pass of sqrt in boundary_refinement" in out
    assert out.rstrip().endswith("the same")


def test_as_json_it_says_the_same_in_strict_json(run: Path) -> None:
    code, out, err = program("with", "diagnose", run, "--step", 4, "--json", "--device", "cpu")
    assert code == 0, err
    found = json.loads(out, parse_constant=pytest.fail)
    assert found["same"] is True
    assert found["recorded"]["fault"] == found["replayed"]
    assert found["replayed"]["operation"] == "sqrt" and found["recorded"]["grad_norm"] == "NaN"


def test_without_the_defect_the_other_process_says_that_it_differs_and_exits_with_1(run: Path) -> None:
    code, out, err = program("without", "diagnose", run)
    assert code == 1, err
    assert "NOT the same; vanished on replay" in out


# --- what cannot be read ----------------------------------------------------------------


@pytest.mark.parametrize("name", [BATCH_FILE, WEIGHTS_FILE])
@pytest.mark.parametrize("damage", ["truncated", "foreign", "missing", "pickle", "list"])
def test_damaged_evidence_is_the_users_to_know_in_one_sentence(tmp_path: Path, name: str, damage: str) -> None:
    folder = recorded(tmp_path, build_scene())
    path = folder / name
    match damage:
        case "truncated":
            path.write_bytes(path.read_bytes()[:1000])
        case "foreign":
            torch.save({"model": {"x": torch.zeros(2)}, "moments": {}}, path)
        case "missing":
            path.unlink()
        case "pickle":
            path.write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
        case _:
            torch.save([1, 2], path)
    with pytest.raises(UserError) as told:
        diagnose(folder, "cpu")
    assert "\n" not in str(told.value) and folder.name in str(told.value)
    assert not (tmp_path / "exploded").exists()


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"step": "four"}', "\x00" * 40])
def test_a_damaged_report_is_said_to_be_one(tmp_path: Path, text: str) -> None:
    folder = recorded(tmp_path, build_scene())
    (folder / REPORT_JSON).write_text(text)
    with pytest.raises(UserError, match=REPORT_JSON):
        diagnose(folder, "cpu")


def test_a_config_that_another_network_had_does_not_fit(tmp_path: Path) -> None:
    folder = recorded(tmp_path, build_scene())
    text = (folder / CONFIG_FILE).read_text().replace("unet_width: 4", "unet_width: 8")
    (folder / CONFIG_FILE).write_text(text)
    with pytest.raises(UserError, match="does not fit"):
        diagnose(folder, "cpu")


def test_the_newest_fault_is_found_and_that_of_a_step_by_its_number(tmp_path: Path) -> None:
    scene = build_scene()
    folders = [recorded(tmp_path, scene, step=step) for step in (4, 12, 4)]
    assert folders_of(tmp_path) == folders
    assert find_folder(tmp_path, None) == folders[2] and find_folder(tmp_path, 12) == folders[1]
    assert find_folder(tmp_path, 4) == folders[2]
    with pytest.raises(UserError, match="no evidence of step 1: there is some of 4, 12, 4"):
        find_folder(tmp_path, 1)
    with pytest.raises(UserError, match="no evidence"):
        find_folder(tmp_path / "elsewhere", None)


def test_a_report_reads_back_as_it_was_written(tmp_path: Path) -> None:
    folder = recorded(tmp_path, build_scene())
    assert isinstance(read_report(folder).fault, Fault)
    assert math.isnan(read_report(folder).grad_norm)
    assert JOURNAL_FILE not in {path.name for path in folder.iterdir()}
