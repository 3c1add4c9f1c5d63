"""`runs` as lines, as JSON, and its actions for scripts: what they print, their exit codes, what they refuse."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

import main
from engine.journal.disk.find_run import find_run
from engine.journal.disk.labels import read_labels
from engine.journal.disk.run_dir import lock_run
from engine.journal.task_meta import PARENT, Parent
from engine.protocol import events as e
from engine.protocol.codec import to_json
from engine.protocol.events import Activity
from tests.many_runs import make_runs
from tests.recorded_run import RecordedRun


@pytest.fixture
def runs_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_runs(tmp_path / "runs", 2)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    """Run `runs` with these words, and return what it printed."""
    assert main.main(["runs", *words]) == code
    printed = capsys.readouterr()
    return printed.err if code == 2 else printed.out


def test_labels_are_written_and_listed(runs_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "note", "tiny-0000", "the", "first") == "the note of tiny-0000 is written\n"
    assert said(capsys, "tag", "tiny-0000", "+base", "draft") == "tiny-0000: base draft\n"
    assert said(capsys, "tag", "tiny-0000", "-draft", "--runs-dir", "runs") == "tiny-0000: base\n"
    assert said(capsys, "tag", "--runs-dir", "runs", "tiny-0000", "+é") == "tiny-0000: base é\n"
    lines = said(capsys).splitlines()
    assert lines[0].split()[-5:] == ["alerts", "lr", "tags", "parent", "note"]
    assert lines[2].split()[0] == "tiny-0000" and lines[2].endswith("base,é       -  the first")
    first, second = json.loads(said(capsys, "--json"))
    assert (second["tags"], second["note"], second["parent"]) == (["base", "é"], "the first", None)
    assert (first["tags"], first["note"], first["alerts"]) == ([], "", 1) and first["lr"] == 2.5e-06
    assert said(capsys, "note", "latest", " ") == "the note of tiny-0001 is removed\n"
    assert said(capsys, "note", "tiny-0000") == "the note of tiny-0000 is removed\n"
    assert said(capsys, "tag", "tiny-0000", "--runs-dir=runs", "-base", "-é") == "tiny-0000: no tags\n"


@pytest.mark.parametrize("words", [(), ("--json",), ("note", "tiny-0000", "x")])
def test_a_file_in_place_of_the_directory_of_runs_is_named(
    runs_dir: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    (file := runs_dir / "list.txt").touch()
    told = said(capsys, *words, "--runs-dir", str(file), code=2)
    assert told == f"error: cannot list the runs in {file}: Not a directory\n"
    assert find_run(file, str(runs_dir / "tiny-0000")) == runs_dir / "tiny-0000", "a path needs no directory of runs"


def test_a_stopped_run_is_listed_as_stopped_and_its_json_is_as_before(
    runs_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(RecordedRun(runs_dir / "halted")) as run:
        run.begin()
        run.note(e.RunFinished("stopped", 3.0))
        run.observe(activity=Activity.FINISHED)
    (row,) = (line for line in said(capsys, "--plain").splitlines() if line.startswith("halted"))
    assert row.split()[1] == "stopped"
    found = {status["run"]: status for status in json.loads(said(capsys, "--json"))}
    assert (found["halted"]["state"], found["halted"]["reason"]) == ("finished", "stopped")


def test_the_parent_of_a_branch_is_listed(runs_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RecordedRun(runs_dir / "branch")
    run.begin()
    run.journal.set_meta(PARENT, to_json(Parent.at(runs_dir / "tiny-0000", 20, "x.pt", child=run.directory)))
    run.close()
    found = {status["run"]: status for status in json.loads(said(capsys, "--json"))}
    assert (found["branch"]["parent"]["run"], found["branch"]["parent"]["step"]) == ("tiny-0000", 20)
    assert "tiny-0000@20" in said(capsys, "--plain")


def test_a_run_is_renamed_and_found_by_both_names(runs_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "rename", "tiny-0000", "base") == "tiny-0000 is called base now\n"
    assert find_run(runs_dir, "tiny-0000") == runs_dir / "base"
    assert "exists in" in said(capsys, "rename", "tiny-0001", "base", code=2)


def test_a_run_is_deleted_with_yes_only(runs_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "tiny-0000 would be deleted with all of its files: confirm it with --yes" in said(
        capsys, "delete", "tiny-0000", code=1
    )
    assert (runs_dir / "tiny-0000").exists()
    assert said(capsys, "delete", "tiny-0000", "--yes") == "tiny-0000 is deleted\n"
    assert [path.name for path in runs_dir.iterdir()] == ["tiny-0001"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("note", "tiny-000", "x"), "did you mean 'tiny-0001'?"),
        (("note", "latest", "x" * 501), "a note has at most 500 characters"),
        (("tag", "latest"), "+TAG adds a tag, -TAG removes one"),
        (("tag", "latest", "-none"), "has no tag 'none'"),
        (("rename", "latest", "a/b"), "cannot be a run's name"),
    ],
)
def test_a_wrong_change_is_one_sentence(
    runs_dir: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], reason: str
) -> None:
    error = said(capsys, *words, code=2)
    assert reason in error and error.count("\n") == 1


@pytest.mark.parametrize("form", ["--json", "--plain"])
def test_a_form_of_the_list_is_refused_with_an_action(
    runs_dir: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    assert "leave them out with delete" in said(capsys, form, "delete", "tiny-0000", "--yes", code=2)
    assert (runs_dir / "tiny-0000").exists()


def test_a_note_needs_a_run_only(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(["runs", "note"])
    assert "the following arguments are required: RUN (see" in capsys.readouterr().err


def test_a_run_in_use_keeps_its_name_but_takes_labels(runs_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with lock_run(runs_dir / "tiny-0001"):
        assert "in use by process" in said(capsys, "rename", "latest", "other", code=2)
        assert "in use by process" in said(capsys, "delete", "latest", "--yes", code=2)
        said(capsys, "note", "latest", "running well")
    assert read_labels(runs_dir / "tiny-0001").note == "running well"


def test_without_a_terminal_lines_are_printed(runs_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys) == said(capsys, "--plain")
    assert said(capsys, "--runs-dir", "none") == "no runs in none yet\n"


def test_an_action_that_does_not_exist_is_named_with_the_nearest(
    runs_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main(["runs", "renme", "a", "b"])
    assert ended.value.code == 2 and "did you mean 'rename'?" in capsys.readouterr().err
