"""Resuming a run with other options: refusals change nothing, and changes are reported."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

import pytest
import torch

from engine.config.files.yaml_text import dump_config
from engine.config.load import read_resolved
from engine.journal.disk.run_dir import CHECKPOINTS, CONFIG_FILE, LOCK_FILE
from engine.journal.reader import JournalReader
from engine.journal.store import create_journal
from engine.protocol import events as e
from engine.runtime.start.same_data import _difference
from engine.training.checkpoint.file import list_checkpoints
from main import main
from tests.faulty import entries
from tests.small import small_config
from tests.tasks.person.data.builders import write_coco

PLAIN = ["--no-ui", "--quiet", "--device", "cpu"]


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with people in 'data', two configurations, and a run 'trained' of five steps on the people."""
    home = tmp_path_factory.mktemp("resume")
    write_coco(home / "data")
    write_coco(home / "other")
    for name, width in (("small", 4), ("wide", 8)):
        config = small_config(
            training={"epochs": 50, "max_steps": 5},
            model={"unet_width": width},
            data={"min_person_pixels": 8, "synthetic": {"num_train_scenes": 6, "num_val_scenes": 2, "image_size": 64}},
        )
        (home / f"{name}.yaml").write_text(dump_config(config))
    words = ["--config", str(home / "small.yaml"), "--data", str(home / "data"), "--runs-dir", str(home / "runs")]
    assert main([*PLAIN, *words, "--run", "trained"]) == 0
    return home


@pytest.fixture
def runs(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run to be damaged, next to the configurations."""
    monkeypatch.chdir(tmp_path)
    for name in ("small.yaml", "wide.yaml"):
        shutil.copy(home / name, tmp_path)
    shutil.copytree(home / "runs", tmp_path / "runs")
    (tmp_path / "runs" / "trained" / LOCK_FILE).write_text("12345\n")  # as another process left it
    return tmp_path / "runs"


REFUSED = {
    "no-such-data": ["--data", "/no/such/dir"],
    "data-is-a-file": ["--data", "small.yaml"],
    "empty-data": ["--data", "empty"],
    "unknown-layout": ["--data", "runs"],
    "data-by-set": ["--set", "data.path=/no/such/dir"],
    "another-width": ["--set", "model.unet_width=8"],
    "another-network": ["--config", "wide.yaml"],
    "no-such-config": ["--config", "smal"],
    "unknown-key": ["--set", "training.learning_rat=1"],
    "value-out-of-range": ["--set", "training.learning_rate=-1"],
    "no-such-device": ["--device", "cuda" if torch.backends.mps.is_available() else "mps"],
    "no-such-script": ["--script", "nothing.txt"],
    "no-such-weights": ["--init-from", "nothing.pt"],
    "weights-of-another": ["--init-from", "small.yaml"],
    "nobody-large-enough": ["--set", "data.min_person_pixels=500"],
    "nothing-left-to-do": ["--max-steps", "5"],
    "fewer-epochs": ["--epochs", "1"],
}


@pytest.mark.parametrize("words", REFUSED.values(), ids=REFUSED)
def test_a_resume_that_cannot_start_changes_no_byte_of_the_run(
    runs: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    (runs.parent / "empty").mkdir()
    before = contents(runs)
    assert main([*PLAIN, "--resume", "trained", "--max-steps", "9", *words]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith("error: ") and "Traceback" not in said
    assert contents(runs) == before


def test_a_refused_resume_of_a_killed_run_changes_nothing_either(runs: Path) -> None:
    journal = create_journal(runs / "trained")
    journal.execute("INSERT INTO meta VALUES ('left in the log', '1')")
    shutil.copytree(runs / "trained", runs / "killed")
    journal.close()
    before = contents(runs / "killed")
    assert before["run.sqlite-wal"]
    assert main([*PLAIN, "--resume", "killed", "--max-steps", "9", "--set", "model.unet_width=8"]) == 2
    assert contents(runs / "killed") == before


@pytest.mark.parametrize("words", [["--config", "wide.yaml"], ["--set", "model.unet_width=8"]])
def test_a_network_of_another_size_is_one_sentence_that_names_both_sizes(
    runs: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert main([*PLAIN, "--resume", "trained", "--max-steps", "9", *words]) == 2
    said = capsys.readouterr().err
    assert "does not fit the configured network" in said and "--init-from" in said


def test_a_plain_resume_goes_on_after_any_number_of_refused_ones(runs: Path) -> None:
    for words in (["--data", "/no/such/dir"], ["--set", "model.unet_width=8"], ["--config", "wide.yaml"]):
        assert main([*PLAIN, "--resume", "trained", "--max-steps", "9", *words]) == 2
    assert main([*PLAIN, "--resume", "trained", "--max-steps", "9"]) == 0
    assert list_checkpoints(runs / "trained" / CHECKPOINTS)[-1].name == "step-00000009.pt"


def _damage(runs: Path) -> None:
    for path in list_checkpoints(runs / "trained" / CHECKPOINTS):
        path.write_bytes(path.read_bytes()[:100])


def _spoil(runs: Path) -> None:
    (runs / "trained" / "run.sqlite").write_bytes(b"no database at all" * 100)


@pytest.mark.parametrize("spoil", [_damage, _spoil])
def test_a_run_that_cannot_be_read_is_left_as_it_is(runs: Path, spoil: Callable[[Path], None]) -> None:
    spoil(runs)
    before = contents(runs)
    assert main([*PLAIN, "--resume", "trained", "--max-steps", "9"]) == 2
    assert contents(runs) == before


def test_a_resume_with_another_configuration_keeps_the_data_of_the_run(home: Path, runs: Path) -> None:
    assert main([*PLAIN, "--resume", "trained", "--config", "small.yaml", "--max-steps", "7"]) == 0
    assert read_resolved(runs / "trained" / CONFIG_FILE).data.path == str(home / "data")
    started = entries(runs / "trained", e.RunStarted)[-1].event
    assert isinstance(started, e.RunStarted) and started.num_train_samples == 6


@pytest.mark.parametrize("words", [["--data", "other"], ["--set", "data.path="]])
def test_data_that_are_named_take_the_place_of_those_of_the_run(home: Path, runs: Path, words: list[str]) -> None:
    words = [str(home / word) if word == "other" else word for word in words]
    assert main([*PLAIN, "--resume", "trained", "--config", "small.yaml", "--max-steps", "7", *words]) == 0
    path = str(home / "other") if "--data" in words else ""
    assert read_resolved(runs / "trained" / CONFIG_FILE).data.path == path
    (changed,) = [entry.event for entry in entries(runs / "trained", e.ConfigChanged) if "path" in repr(entry.event)]
    assert changed == e.ConfigChanged("data.path", f'"{home / "data"}"', f'"{path}"')


@pytest.fixture
def annotations(home: Path) -> Generator[Path]:
    """The training annotations of the run, put back afterwards."""
    file = home / "data" / "instances_train.json"
    before = file.read_text()
    yield file
    file.write_text(before)


def alerts_of_data(run: Path) -> list[str]:
    alerts = [entry.event for entry in entries(run, e.AlertRaised) if isinstance(entry.event, e.AlertRaised)]
    return [alert.message for alert in alerts if alert.kind == "changed data"]


@pytest.mark.parametrize("is_old", [False, True])
def test_data_that_changed_under_the_same_name_are_said_at_the_resume(
    runs: Path, annotations: Path, is_old: bool
) -> None:
    run = runs / "trained"
    assert main([*PLAIN, "--resume", "trained", "--max-steps", "6"]) == 0
    assert alerts_of_data(run) == []
    if is_old:
        with closing(sqlite3.connect(run / "run.sqlite")) as journal, journal:
            journal.execute("DELETE FROM meta WHERE key = 'data'")
    content = json.loads(annotations.read_text())
    del content["annotations"][-1]
    annotations.write_text(json.dumps(content))
    assert main([*PLAIN, "--resume", "trained", "--max-steps", "7"]) == 0
    (said,) = alerts_of_data(run)
    assert said.startswith("the train split has ") and "at the last start: its data have changed" in said
    assert main([*PLAIN, "--resume", "trained", "--max-steps", "8"]) == 0
    assert len(alerts_of_data(run)) == 1


@pytest.mark.parametrize(
    ("then", "now", "is_other"),
    [
        ("2:ab", "2:ab", False),
        ("2:ab", "2:cd", True),
        ("ab", "cd", True),
        ("path:ab", "other:cd", True),
        ("ab", "2:cd", False),
        ("2:ab", "3:ab", False),
        ("", "2:cd", False),
    ],
)
def test_only_fingerprints_of_one_form_are_compared(then: str, now: str, is_other: bool) -> None:
    """A run of an earlier version goes on without an alarm; a task may choose any text."""
    said = _difference({"train": [3, then]}, {"train": [3, now]})
    assert bool(said) == said.startswith("names, boxes, outlines or files of the train split") == is_other


def test_outlines_that_moved_in_their_boxes_are_said_at_the_resume_and_data_that_are_named_are_not(
    home: Path, runs: Path, annotations: Path
) -> None:
    content = json.loads(annotations.read_text())
    for annotation in content["annotations"]:
        annotation["segmentation"][0][0] += 1
    annotations.write_text(json.dumps(content))
    assert main([*PLAIN, "--resume", "trained", "--max-steps", "6"]) == 0
    (said,) = alerts_of_data(runs / "trained")
    assert said.startswith("names, boxes, outlines or files of the train split are not those of the last start")
    assert main([*PLAIN, "--resume", "trained", "--max-steps", "7", "--data", str(home / "other")]) == 0
    assert len(alerts_of_data(runs / "trained")) == 1


def test_the_built_in_people_of_a_run_stay_as_many_as_they_were(home: Path, runs: Path) -> None:
    words = ["--config", "small.yaml", "--set", "data.synthetic.num_train_scenes=4"]
    assert main([*PLAIN, *words, "--run", "drawn"]) == 0
    assert main([*PLAIN, "--resume", "drawn", "--config", "small.yaml", "--max-steps", "7"]) == 0
    assert read_resolved(runs / "drawn" / CONFIG_FILE).data.synthetic.num_train_scenes == 4


def test_every_change_of_the_configuration_is_listed_before_the_first_step(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--max-steps", "7", "--set", "training.learning_rate=5e-4", "--set", "loss.weights.dice=0.25"]
    assert main([*PLAIN, "--resume", "trained", *words]) == 0
    changed = entries(runs / "trained", e.ConfigChanged)
    assert [entry.event for entry in changed] == [
        e.ConfigChanged("loss.weights.dice", "0.5", "0.25"),
        e.ConfigChanged("training.learning_rate", "0.001", "0.0005"),
        e.ConfigChanged("training.max_steps", "5", "7"),
    ]
    assert {entry.step for entry in changed} == {5}
    said = capsys.readouterr().out
    assert "training.max_steps: 5 -> 7" in said
    assert said.index("training.max_steps: 5 -> 7") < said.index("6 training and 4 validation samples")


def test_a_run_resumed_with_another_score_has_no_best_one_until_it_is_measured(runs: Path) -> None:
    words = ["--max-steps", "9", "--set", "validation.score=boundary_f"]
    assert main([*PLAIN, "--resume", "trained", *words]) == 0
    with closing(JournalReader(runs / "trained")) as reader:
        state, spec = reader.state(), reader.spec()
    assert state is not None and spec.score == "boundary_f"
    (described,) = [entry.event for entry in entries(runs / "trained", e.TaskDescribed)]
    assert described == e.TaskDescribed(spec)
    measured = [entry.event for entry in entries(runs / "trained", e.ValidationCompleted) if entry.step > 5]
    scores = [event.metrics["boundary_f"] for event in measured if isinstance(event, e.ValidationCompleted)]
    assert state.score == scores[-1] and state.best_score == max(scores)
    assert main([*PLAIN, "--resume", "trained", "--max-steps", "10"]) == 0
    assert len(entries(runs / "trained", e.TaskDescribed)) == 1, "the score has not changed again"


@pytest.mark.parametrize("held", [None, b"", b" \n\n"], ids=["missing", "empty", "blank"])
def test_a_run_without_its_configuration_says_how_to_continue(
    runs: Path, held: bytes | None, capfd: pytest.CaptureFixture[str]
) -> None:
    (runs / "trained" / CONFIG_FILE).unlink()
    if held is not None:
        (runs / "trained" / CONFIG_FILE).write_bytes(held)
    before = contents(runs)
    assert main([*PLAIN, "--resume", "trained", "--max-steps", "7"]) == 2
    said = capfd.readouterr().err
    assert "config.yaml is missing or empty: put it back, or name" in said and len(said.splitlines()) == 1
    assert contents(runs) == before


def test_an_empty_journal_alone_is_a_run_to_begin_again(runs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (runs / "dead").mkdir()
    (runs / "dead" / "run.sqlite").touch()
    assert main([*PLAIN, "--resume", "dead"]) == 2
    assert "was cut off before its first step: begin it again with --run dead" in capfd.readouterr().err
    assert main([*PLAIN, "--config", "small.yaml", "--max-steps", "1", "--run", "dead"]) == 0


def test_an_unreadable_journal_is_moved_out_as_its_sentence_says(
    runs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    journal = runs / "trained" / "run.sqlite"
    journal.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    assert main([*PLAIN, "--resume", "trained", "--max-steps", "7"]) == 2
    said = capfd.readouterr().err
    assert "move it out of the run's directory, and --resume continues from the checkpoints" in said
    journal.rename(tmp_path / "moved")
    assert main([*PLAIN, "--resume", "trained", "--max-steps", "7"]) == 0


def _lose_the_journal(directory: Path) -> None:
    for file in directory.glob("run.sqlite*"):
        file.unlink()


def _empty_the_journal(directory: Path) -> None:
    _lose_the_journal(directory)
    (directory / "run.sqlite").touch()


@pytest.mark.parametrize("lose", [_lose_the_journal, _empty_the_journal])
def test_a_run_without_its_journal_is_listed_and_goes_on_from_its_checkpoints(
    runs: Path, capsys: pytest.CaptureFixture[str], lose: Callable[[Path], None]
) -> None:
    lose(runs / "trained")
    assert main(["runs"]) == 0
    said = capsys.readouterr().out
    assert "no journal" in said and "--resume trained goes on from its checkpoints" in said
    assert main([*PLAIN, "--resume", "latest", "--max-steps", "5"]) == 2  # done already: nothing is made
    assert not any(file.stat().st_size for file in (runs / "trained").glob("run.sqlite*"))
    assert main([*PLAIN, "--resume", "latest", "--max-steps", "9"]) == 0
    (alert,) = [entry.event for entry in entries(runs / "trained", e.AlertRaised) if "missing" in repr(entry.event)]
    assert isinstance(alert, e.AlertRaised) and "a new one begins at step 5" in alert.message
    assert main(["redrive", "trained"]) == 2
    assert "begins at step 5" in capsys.readouterr().err


def test_a_run_that_was_cut_off_before_its_first_step_is_begun_again(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (runs / "dead").mkdir()
    (runs / "dead" / LOCK_FILE).touch()
    assert main([*PLAIN, "--resume", "dead"]) == 2
    assert "begin it again with --run dead" in capsys.readouterr().err
    words = ["--config", "small.yaml", "--set", "data.synthetic.num_train_scenes=4"]
    assert main([*PLAIN, *words, "--run", "dead"]) == 0


def test_what_is_refused_is_refused_before_anything_is_made(runs: Path) -> None:
    before = contents(runs.parent)
    for words in (["--data", "/nope"], ["--init-from", "nothing.pt"], ["--set", "data.path=small.yaml"]):
        assert main([*PLAIN, "--config", "small.yaml", "--runs-dir", "others", *words]) == 2
    assert contents(runs.parent) == before and not Path("others").exists()


def test_a_setting_that_excludes_what_a_command_has_enabled_is_refused(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "script.txt").write_text("5: enable progressive_upsampling\n")
    assert main([*PLAIN, "--resume", "trained", "--max-steps", "7", "--script", "script.txt"]) == 0
    before = contents(runs)
    capsys.readouterr()
    words = ["--max-steps", "9", "--set", "model.refinements.subpixel_conv=true"]
    assert main([*PLAIN, "--resume", "trained", *words]) == 2
    assert "progressive_upsampling and subpixel_conv exclude each other" in capsys.readouterr().err
    assert contents(runs) == before
