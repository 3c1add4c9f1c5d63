"""Branches: they go on as a resume would, know their parent, and never write to it."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from engine.config.files.yaml_text import dump_config
from engine.config.load import read_resolved
from engine.journal.disk.manage import rename_run
from engine.journal.disk.run_dir import CHECKPOINTS, CONFIG_FILE
from engine.journal.reader import JournalReader
from engine.journal.store import JOURNAL_FILE
from engine.journal.task_meta import PARENT, Parent, parent_of
from engine.journal.writer import JournalWriter
from engine.outputs.reproduction_report import ReproductionRequest
from engine.protocol import events as e
from engine.protocol.codec import to_json
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.reproduce.comparison import BY_THE_CLOCK, compare_weights
from engine.runtime.reproduce.reproduce import reproduce
from engine.runtime.start.bootstrap import RunRequest
from engine.runtime.start.resume import find_start
from engine.training.checkpoint.file import BEST, list_checkpoints, load_checkpoint
from main import main
from tests.faulty import entries
from tests.small import small_config

PLAIN = ["--no-ui", "--quiet", "--device", "cpu"]
CLOCKED = (*BY_THE_CLOCK, "system/", "time/")


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def series_of(directory: Path, first: int) -> dict[str, list[bytes]]:
    """Every metric that does not depend on the clock, from a step on, bit by bit."""
    with closing(JournalReader(directory)) as reader:
        names = [name for name in reader.metric_names() if not name.startswith(CLOCKED)]
        series = reader.series(names, first=first)
    return {
        name: [np.float32(value).tobytes() for value in series.values[name][series.present[name]]] for name in names
    }


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run 'base' of seven steps, with checkpoints at 0, 2, 3, 4, 6 and 7, and its branch 'same' up to step 11."""
    home = tmp_path_factory.mktemp("branch")
    config = small_config(training={"epochs": 50, "max_steps": 7}, checkpoint={"every_steps": 3, "keep_last": 9})
    (home / "small.yaml").write_text(dump_config(config))
    runs = ["--runs-dir", str(home / "runs")]
    assert main([*PLAIN, "--config", str(home / "small.yaml"), *runs, "--run", "base"]) == 0
    before = contents(home / "runs" / "base")
    assert main(["branch", "base", *PLAIN, *runs, "--run", "same", "--max-steps", "11"]) == 0
    assert contents(home / "runs" / "base") == before
    return home


def test_a_branch_without_settings_is_bit_for_bit_a_resume_of_its_parent(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "runs", tmp_path / "runs")
    runs = tmp_path / "runs"
    assert main([*PLAIN, "--runs-dir", str(runs), "--resume", "base", "--max-steps", "11"]) == 0
    mine, theirs = series_of(runs / "same", 8), series_of(runs / "base", 8)
    assert mine == theirs and len(mine["loss/total"]) == 4
    assert compare_weights(runs / "base" / CHECKPOINTS, runs / "same" / CHECKPOINTS) == ("step-00000011.pt", "")


def test_a_branch_has_a_best_score_and_a_best_checkpoint_of_its_own(home: Path) -> None:
    run_dir = home / "runs" / "same"
    with closing(JournalReader(run_dir)) as reader:
        state = reader.state()
    assert state is not None and state.best_step is not None and state.best_step > 7
    payload = load_checkpoint(run_dir / CHECKPOINTS / BEST)
    assert payload["step"] == state.best_step and f'"best_score":{state.best_score}' in payload["state"]


def test_a_branch_knows_its_parent_and_has_a_checkpoint_of_its_beginning(home: Path) -> None:
    run_dir = home / "runs" / "same"
    with closing(JournalReader(run_dir)) as reader:
        parent = parent_of(reader.meta(PARENT))
        state = reader.state()
    assert parent == Parent("base", 7, "step-00000007.pt", "../base")
    assert parent.path(run_dir) == (home / "runs" / "base").resolve()
    assert state is not None and (state.run, state.step) == ("same", 11)
    assert list_checkpoints(run_dir / CHECKPOINTS)[0].name == "step-00000007.pt"
    (started,) = entries(run_dir, e.RunStarted)
    assert isinstance(started.event, e.RunStarted) and started.event.resumed_from == "step 7 of base"
    (changed,) = entries(run_dir, e.ConfigChanged)
    assert changed.event == e.ConfigChanged("training.max_steps", "7", "11")


def test_a_renamed_parent_is_named_as_it_is_called_now(home: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for name in ("base", "same"):
        (runs / name).mkdir(parents=True)
        shutil.copy(home / "runs" / name / JOURNAL_FILE, runs / name)
    rename_run(runs / "base", "basis")
    assert main(["status", "same", "--runs-dir", str(runs)]) == 0
    with closing(JournalReader(runs / "same")) as reader:
        present, stored = parent_of(reader.meta(PARENT), runs / "same"), parent_of(reader.meta(PARENT))
    assert present is not None and present.said == "branch of basis at step 7"
    assert stored is not None and stored.run == "base" and present.path(runs / "same") == (runs / "basis").resolve()


def test_status_names_the_parent(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = ["--runs-dir", str(home / "runs")]
    assert main(["status", "same", *runs]) == 0
    assert "  branch of base at step 7\n" in capsys.readouterr().out
    assert main(["status", "same", "--json", *runs]) == 0
    assert json.loads(capsys.readouterr().out)["parent"]["run"] == "base"
    assert main(["status", "base", "--json", *runs]) == 0
    assert json.loads(capsys.readouterr().out)["parent"] is None


def test_a_branch_is_reproduced_from_its_parents_checkpoint(home: Path, tmp_path: Path) -> None:
    report = reproduce(ReproductionRequest(home / "runs" / "same", tmp_path / "elsewhere", "again"), Interrupt())
    assert report.identical and report.num_steps == 4


def test_another_step_and_other_settings_take_effect_from_the_fork_on(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "runs", tmp_path / "runs")
    words = ["--runs-dir", str(tmp_path / "runs"), "--run", "slow", "--from", "5"]
    assert main(["branch", "base", *PLAIN, *words, "--set", "training.learning_rate=1e-5"]) == 0
    run_dir = tmp_path / "runs" / "slow"
    with closing(JournalReader(run_dir)) as reader:
        series, state = reader.series(["lr"]), reader.state()
    assert series.steps.tolist() == [5, 6, 7] and max(series.values["lr"]) <= 1e-5
    assert state is not None and state.limits.lr_configured == 1e-5
    assert read_resolved(run_dir / CONFIG_FILE).training.learning_rate == 1e-5


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "at step 7 the run 'base' has done 7 steps, and a branch with --max-steps 7 ends there: branch from an"),
        (["--max-steps", "2"], "has done 7 steps, and a branch with --max-steps 2 ends there: branch from an earlier"),
        (
            ["--max-steps", "9", "--set", "model.unet_width=8"],
            "branch with the model keys that 'base' was trained with",
        ),
        (["--from", "nothing.pt"], "the run 'base' has no checkpoint 'nothing.pt'"),
        (["--from", "5", "--set", "training.learning_rat=1"], "training.learning_rat"),
    ],
)
def test_a_branch_that_cannot_begin_leaves_nothing(
    home: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    before = contents(home / "runs")
    assert main(["branch", "base", *PLAIN, "--runs-dir", str(home / "runs"), "--run", "failed", *words]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert contents(home / "runs") == before


def test_a_damaged_checkpoint_is_named(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(home / "runs" / "base", tmp_path / "runs" / "base")
    (tmp_path / "runs" / "base" / CHECKPOINTS / "step-00000006.pt").write_bytes(b"nothing")
    assert main(["branch", "base", *PLAIN, "--runs-dir", str(tmp_path / "runs"), "--from", "6"]) == 2
    assert "step-00000006.pt does not match its checksum; branch 'base' from another" in capsys.readouterr().err


def test_a_branch_that_was_cut_off_before_its_first_checkpoint_starts_from_its_parent_again(home: Path) -> None:
    run_dir = home / "runs" / "cut-off"
    run_dir.mkdir()
    with closing(JournalWriter(run_dir)) as journal:
        journal.start()
        journal.set_meta(PARENT, to_json(Parent("base", 6, "step-00000006.pt", "../base")))
    config = read_resolved(home / "runs" / "base" / CONFIG_FILE)
    start = find_start(RunRequest(run_dir, config, resume=True))
    assert start is not None and start.payload["step"] == 6 and start.parent is not None
    shutil.rmtree(run_dir)
