"""Renaming and deleting runs: everything that refers to a run stays right, and a run in use stays as it is."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.journal.disk.find_run import find_run, list_runs, started_at
from engine.journal.disk.labels import LABELS_FILE, read_labels, set_note
from engine.journal.disk.manage import delete_run, rename_run
from engine.journal.disk.run_dir import DELETED, LOCK_FILE, lock_run
from engine.journal.reader import JournalReader
from engine.journal.store import JOURNAL_FILE
from engine.journal.task_meta import Parent
from tests.recorded_run import RecordedRun, record_run


def recorded(runs_dir: Path, name: str) -> Path:
    path = record_run(runs_dir / name, steps=20, finished=True)
    lock_run(path).release()
    return path


def test_a_renamed_run_is_found_by_both_names(tmp_path: Path) -> None:
    before, other = recorded(tmp_path, "first"), recorded(tmp_path, "other")
    set_note(before, "keep me")
    started = started_at(before)
    after = rename_run(before, "größer 2")
    assert not before.exists() and after == tmp_path / "größer 2"
    with closing(JournalReader(after)) as reader:
        state = reader.state()
        assert state is not None and state.run == "größer 2" and len(reader.series(["loss/total"]).steps) == 20
    assert find_run(tmp_path, "first") == find_run(tmp_path, "größer 2") == after
    assert started_at(after) == started and list_runs(tmp_path) == [other, after]
    assert read_labels(after).note == "keep me"
    assert read_labels(rename_run(after, "first")).formerly == ("größer 2",)
    assert find_run(tmp_path, "first") == before


def test_a_branch_finds_its_parent_after_it_was_renamed(tmp_path: Path) -> None:
    trunk, branch = recorded(tmp_path, "trunk"), recorded(tmp_path, "branch")
    parent = Parent.at(trunk, 20, "step-00000020.pt", child=branch)
    assert parent.path(branch) == trunk
    renamed = rename_run(rename_run(trunk, "second"), "third")
    assert parent.path(branch) == renamed
    delete_run(renamed)
    assert parent.path(branch) == trunk and not trunk.exists()


def test_a_new_run_of_a_former_name_comes_before_the_renamed_one(tmp_path: Path) -> None:
    rename_run(recorded(tmp_path, "first"), "second")
    new = recorded(tmp_path, "first")
    assert find_run(tmp_path, "first") == new


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("first", "is called 'first' already"),
        ("other", "'other' exists in"),
        ("latest", "cannot be a run's name"),
        ("", "cannot be a run's name"),
        ("a/b", "cannot be a run's name"),
        (".x", "cannot be a run's name"),
        ("\N{GRINNING FACE}" * 90, "cannot rename the run .*: File name too long"),
    ],
)
def test_a_name_that_cannot_be_is_refused(tmp_path: Path, name: str, said: str) -> None:
    path = recorded(tmp_path, "first")
    (tmp_path / "other").mkdir()
    with pytest.raises(UserError, match=said):
        rename_run(path, name)
    assert list_runs(tmp_path) == [path] and read_labels(path).formerly == ()


def test_a_run_in_use_is_neither_renamed_nor_deleted(tmp_path: Path) -> None:
    path = recorded(tmp_path, "first")
    with lock_run(path):
        for change in (lambda: rename_run(path, "second"), lambda: delete_run(path)):
            with pytest.raises(UserError, match=r"the run 'first' is in use by process .*: stop it first"):
                change()
    assert list_runs(tmp_path) == [path]


def test_a_run_that_is_written_without_a_lock_is_in_use_as_well(tmp_path: Path) -> None:
    with closing(RecordedRun(tmp_path / "live")) as run:
        run.begin()
        assert not (run.directory / LOCK_FILE).exists()
        with pytest.raises(UserError, match="in use"):
            delete_run(run.directory)
        with pytest.raises(UserError, match="in use"):
            rename_run(run.directory, "other")
    delete_run(run.directory)
    assert list(tmp_path.iterdir()) == []


def test_a_deleted_run_leaves_nothing(tmp_path: Path) -> None:
    path, other = recorded(tmp_path, "first"), recorded(tmp_path, "other")
    (path / "checkpoints").mkdir()
    (path / "checkpoints" / "step-00000010.pt").touch()
    delete_run(path)
    assert [*tmp_path.iterdir()] == [other]


def test_a_deletion_that_was_cut_off_leaves_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = recorded(tmp_path, "first")

    def fail(moved: Path) -> None:
        (moved / "run.lock").unlink()
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(shutil, "rmtree", fail)
    with pytest.raises(UserError, match=r"the run 'first' is gone, but .* remains: Input/output error"):
        delete_run(path)
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(DELETED) and (left / JOURNAL_FILE).exists()
    assert list_runs(tmp_path) == []


def test_a_link_to_a_run_elsewhere_is_not_followed(tmp_path: Path) -> None:
    real = recorded(tmp_path / "real", "first")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "linked").symlink_to(real)
    with pytest.raises(UserError, match=r"is a link to .*first: delete the run there"):
        delete_run(tmp_path / "runs" / "linked")
    with pytest.raises(UserError, match=r"is a link to .*first: rename the run there"):
        rename_run(tmp_path / "runs" / "linked", "other")
    assert real.exists() and not (real / LABELS_FILE).exists()


def test_an_unreadable_journal_does_not_keep_a_run_from_being_renamed_or_deleted(tmp_path: Path) -> None:
    path = recorded(tmp_path, "first")
    (path / JOURNAL_FILE).write_bytes(b"no journal at all")
    moved = rename_run(path, "second")
    assert (moved / JOURNAL_FILE).read_bytes() == b"no journal at all"
    delete_run(moved)
    assert list(tmp_path.iterdir()) == []
