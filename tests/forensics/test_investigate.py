"""Investigation inside a run: its results, its frequency, and that training is not affected."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import engine.forensics.evidence_dir
import engine.training.step
from engine.forensics.capture import from_payload
from engine.forensics.evidence_dir import BATCH_FILE, WEIGHTS_FILE, load_part
from engine.forensics.investigate import APART, MOST_KINDS, Forensics
from engine.forensics.offline import diagnose
from engine.journal.reader import JournalReader
from engine.outputs.fault_report import NOT_REPLAYED, REPORT_TEXT, folders_of, read_report
from engine.protocol import events as e
from engine.protocol.events import Event
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.start.bootstrap import RunRequest, initial_state
from engine.runtime.train import train
from engine.supervision.run_memory import RunMemory
from engine.tasks.person.data.sources import open_splits
from engine.tasks.person.model.network import HierarchicalUNet
from engine.tasks.person.spec import SPEC
from engine.tasks.person.task import PersonTask
from engine.training.checkpoint.file import load_checkpoint
from engine.training.gradients.step_report import StepReport
from engine.training.step_plan import plan_for
from engine.training.train_state import TrainState
from tests.forensics.scene import same, spoil_term
from tests.small import random_batch, small_config

CONFIG = small_config(
    model={"dropout": 0.2}, training={"epochs": 3}, guard={"recovery": {"enabled": False}}
)  # the guardian acts upon what is named; here it only watches


def poison(monkeypatch: pytest.MonkeyPatch, steps: set[int]) -> None:
    """Make the images NaN that those steps (from 1) are given."""
    real = engine.training.step.TrainStep.run

    def run(self: engine.training.step.TrainStep, batches: Any, plan: Any) -> Any:
        if plan.step + 1 in steps:
            for batch in batches:
                batch.tensors = {**batch.tensors, "image_N3HW": batch.tensors["image_N3HW"] * math.nan}
        return real(self, batches, plan)

    monkeypatch.setattr(engine.training.step.TrainStep, "run", run)


def events_of(directory: Path, kind: type[Event]) -> list[Any]:
    with closing(JournalReader(directory)) as reader:
        return [entry.event for entry in reader.events() if isinstance(entry.event, kind)]


def trained(directory: Path, config: Any = CONFIG) -> dict[str, Any]:
    """Train a run to its end and return its last checkpoint."""
    directory.mkdir(parents=True)
    assert train(RunRequest(directory, config, device="cpu"), Interrupt()) == 0
    return load_checkpoint(sorted((directory / "checkpoints").glob("step-*.pt"))[-1])


# --- in a run ---------------------------------------------------------------------------


def test_a_fault_is_named_in_the_journal_and_its_evidence_loads_without_executing_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, {3})
    run = tmp_path / "run"
    trained(run)
    (named,) = events_of(run, e.FaultNamed)
    assert (named.at_step, named.direction, named.operation) == (3, "input", "image")
    assert named.folder == "forensics/step-00000003" and named.seconds > 0
    (folder,) = folders_of(run)
    assert {path.name for path in folder.iterdir()} == {
        "batch.pt", "weights.pt", "config.yaml", "report.json", "report.txt",
    }  # fmt: skip
    report = read_report(folder)
    assert report.step == 3 and report.fault.sample_ids == named.sample_ids and report.weights_as_then
    evidence = from_payload(load_part(folder, BATCH_FILE), torch.device("cpu"), SPEC.clamped_terms())
    assert evidence.plan.step == 2 and evidence.sample_ids == report.sample_ids
    assert evidence.batches[0].after.index > 0
    assert load_part(folder, WEIGHTS_FILE)["moments"] == {}
    text = (folder / REPORT_TEXT).read_text()
    assert "the data itself is not finite: image" in text and len(text.splitlines()) <= 24


def test_the_alert_says_where_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch, {2})
    trained(tmp_path / "run")
    (alert,) = (alert for alert in events_of(tmp_path / "run", e.AlertRaised) if alert.kind == "fault")
    assert alert.at_step == 2 and "image" in alert.message
    assert alert.operation == "image" and alert.remedy.startswith("exclude the samples")


def test_training_goes_on_bit_for_bit_as_if_nobody_had_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch, {2, 5, 6})
    looked = trained(tmp_path / "looked")
    assert events_of(tmp_path / "looked", e.FaultNamed)
    monkeypatch.setattr(Forensics, "investigate", lambda *args, **more: None)
    blind = trained(tmp_path / "blind")
    assert not events_of(tmp_path / "blind", e.FaultNamed)
    for part in ("model", "moments", "rng", "position", "scaler"):
        assert same(looked[part], blind[part]), part


# --- one inquiry ------------------------------------------------------------------------


@pytest.fixture
def train_state() -> Iterator[TrainState]:
    splits = open_splits(CONFIG.data, CONFIG.model, 0)
    train_state = TrainState(PersonTask(), CONFIG, HierarchicalUNet(CONFIG.model), splits, initial_state("run", CONFIG))
    yield train_state
    train_state.close()


def bad_step(forensics: Forensics, step: int, **changes: Any) -> tuple[Any, StepReport]:
    """Evidence and report of a step that was not finite."""
    batch = random_batch(CONFIG)
    batch.tensors["image_N3HW"][0, 0, 0, 0] = math.nan
    plan = replace(plan_for(1.0, initial_state("run", CONFIG), CONFIG), step=step)
    evidence = forensics.capture([batch], plan)
    return evidence, replace(forensics.train_state.train_step.run([batch], plan).resolve(), **changes)


def test_a_fault_in_every_step_is_looked_at_once_in_a_while(tmp_path: Path, train_state: TrainState) -> None:
    forensics = Forensics(tmp_path, CONFIG, train_state, RunMemory(CONFIG, SPEC))
    due = [step for step in range(2 * APART + 1) if step % 40 == 0]
    found = [step for step in due if forensics.investigate(*bad_step(forensics, step)) is not None]
    assert APART == 100 and found == [0, 120]


def test_another_kind_of_fault_is_looked_at_at_once_and_a_step_back_too(
    tmp_path: Path, train_state: TrainState
) -> None:
    forensics = Forensics(tmp_path, CONFIG, train_state, RunMemory(CONFIG, SPEC))
    assert forensics.investigate(*bad_step(forensics, 50))
    assert not forensics.investigate(*bad_step(forensics, 51))
    assert forensics.investigate(*bad_step(forensics, 52, bad_terms=("dice",)))
    assert forensics.investigate(*bad_step(forensics, 49)), "after a rollback the step comes anew"


def test_the_kinds_of_fault_that_are_looked_at_are_bounded(tmp_path: Path, train_state: TrainState) -> None:
    forensics = Forensics(tmp_path, CONFIG, train_state, RunMemory(CONFIG, SPEC))
    forensics.memory.diagnosed_at.update({((str(number),), (), (), ()): 0 for number in range(MOST_KINDS)})
    assert forensics.investigate(*bad_step(forensics, 3)) is None


def test_the_first_faults_and_the_newest_are_kept(tmp_path: Path, train_state: TrainState) -> None:
    config = small_config(guard={"max_forensics": 4})
    forensics = Forensics(tmp_path, config, train_state, RunMemory(config, SPEC))
    for number in range(7):
        assert forensics.investigate(*bad_step(forensics, number, bad_terms=(str(number),)))
    assert [path.name[-1] for path in folders_of(tmp_path)] == ["1", "2", "6", "7"]


def test_a_step_that_fails_again_gets_a_folder_of_its_own(tmp_path: Path, train_state: TrainState) -> None:
    forensics = Forensics(tmp_path, CONFIG, train_state, RunMemory(CONFIG, SPEC))
    for term in "ab":
        forensics.investigate(*bad_step(forensics, 4, bad_terms=(term,)))
    assert [path.name for path in folders_of(tmp_path)] == ["step-00000005", "step-00000005-2"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("unexpected pos 64 vs 0")])
def test_a_full_disk_leaves_no_half_folder_and_the_fault_is_named_all_the_same(
    tmp_path: Path, train_state: TrainState, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    real, count = torch.save, [0]

    def full(*args: Any, **more: Any) -> None:
        count[0] += 1
        if count[0] == 2:
            raise error
        real(*args, **more)

    monkeypatch.setattr(engine.forensics.evidence_dir.torch, "save", full)
    forensics = Forensics(tmp_path, CONFIG, train_state, RunMemory(CONFIG, SPEC))
    found = forensics.investigate(*bad_step(forensics, 1))
    assert found is not None and found.named.direction == "input" and found.named.folder == ""
    assert "could not be written" in found.alert.message
    assert list((tmp_path / "forensics").iterdir()) == []


def test_a_replay_that_fails_does_not_end_the_run_and_leaves_its_evidence(
    tmp_path: Path, train_state: TrainState, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*args: Any) -> None:
        raise torch.OutOfMemoryError("out of memory\nlong story")

    monkeypatch.setattr("engine.forensics.investigate.name_fault", exhausted)
    forensics = Forensics(tmp_path, CONFIG, train_state, RunMemory(CONFIG, SPEC))
    found = forensics.investigate(*bad_step(forensics, 1))
    assert found is not None and found.named.verdict == NOT_REPLAYED
    assert "the replay failed: out of memory" in found.alert.message and "main.py diagnose" in found.alert.remedy
    (folder,) = folders_of(tmp_path)
    assert diagnose(folder, "cpu").replayed.direction == "input"


def test_a_read_only_run_directory_is_survived(tmp_path: Path, train_state: TrainState) -> None:
    (tmp_path / "forensics").write_text("a file where the folder should be")
    forensics = Forensics(tmp_path, CONFIG, train_state, RunMemory(CONFIG, SPEC))
    found = forensics.investigate(*bad_step(forensics, 1))
    assert found is not None and found.problem


def test_names_from_outside_are_text_in_every_report(tmp_path: Path, train_state: TrainState) -> None:
    forensics = Forensics(tmp_path, CONFIG, train_state, RunMemory(CONFIG, SPEC))
    evidence, report = bad_step(forensics, 1)
    hostile = ("../../x\n\x1b[31m[red]", "a\u202eb", "", "x" * 5000)
    evidence.batches[0].sample_ids = hostile
    found = forensics.investigate(evidence, report)
    assert found is not None and found.named.sample_ids == (hostile[0],)
    (folder,) = folders_of(tmp_path)
    assert read_report(folder).sample_ids == hostile
    text = (folder / REPORT_TEXT).read_text()
    assert "\x1b" not in text and "\u202e" not in text and "\\x1b[31m[red]" in text
    assert all(line.isprintable() for line in text.splitlines())


def test_a_moment_that_is_at_fault_is_kept_beside_the_weights(tmp_path: Path, train_state: TrainState) -> None:
    forensics = Forensics(tmp_path, CONFIG, train_state, RunMemory(CONFIG, SPEC))
    batch, plan = random_batch(CONFIG), plan_for(1.0, initial_state("run", CONFIG), CONFIG)
    train_state.train_step.run([batch], plan).resolve()
    weight = dict(train_state.model.named_parameters())["foreground.classify.weight"]
    train_state.train_step.optimizer.state[weight]["exp_avg_sq"].fill_(math.inf)
    evidence = forensics.capture([batch], plan)
    found = forensics.investigate(evidence, train_state.train_step.run([batch], plan).resolve())
    assert found is not None and found.named.direction == "moment" and found.alert.remedy.startswith("roll back")
    kept = load_part(folders_of(tmp_path)[0], WEIGHTS_FILE)["moments"]
    assert set(kept) == {"foreground.classify.weight", "foreground.classify.bias"}


def test_a_spoilt_loss_term_reaches_the_alert(
    tmp_path: Path, train_state: TrainState, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_term(monkeypatch, "boundary_aware", lambda value: value / 0)
    forensics = Forensics(tmp_path, CONFIG, train_state, RunMemory(CONFIG, SPEC))
    batch, plan = random_batch(CONFIG), plan_for(1.0, initial_state("run", CONFIG), CONFIG)
    evidence = forensics.capture([batch], plan)
    found = forensics.investigate(evidence, train_state.train_step.run([batch], plan).resolve())
    assert found is not None
    assert (found.alert.term, found.named.refinement) == ("boundary_aware", "boundary_aware_loss")
    assert "disable boundary_aware_loss" in found.alert.remedy and "1e-6" in found.alert.remedy
