"""The directories of runs: their location, valid names, and finding a run."""

from __future__ import annotations

import os
import stat
import time
from contextlib import closing
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.journal.disk.find_run import find_run, list_runs, started_at
from engine.journal.disk.new_run import create_run, discard_run
from engine.journal.disk.run_dir import CHECKPOINTS, LOCK_FILE, lock_run
from engine.journal.store import JOURNAL_FILE, create_journal
from engine.journal.writer import JournalWriter
from tests.recorded import first_line, start_program

HOLDER = """
import sys, time
from pathlib import Path
from engine.journal.disk.run_dir import lock_run
lock = lock_run(Path(sys.argv[1]))
print("locked", flush=True)
time.sleep(60)
"""


def make_run(runs_dir: Path, name: str, *, started: float) -> Path:
    """A run with an empty journal that was started at the time `started`."""
    path = create_run(runs_dir, name)
    (path / JOURNAL_FILE).touch()
    with lock_run(path):
        pass
    os.utime(path / LOCK_FILE, (started, started))
    return path


def test_a_new_run_has_a_directory_for_its_owner_alone(tmp_path: Path) -> None:
    path = create_run(tmp_path / "runs", "first")
    assert path == tmp_path / "runs" / "first"
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_runs_without_a_name_get_different_ones(tmp_path: Path) -> None:
    names = {create_run(tmp_path, stem="tiny").name for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith(f"tiny-{time.strftime('%Y')}") for name in names)


def test_a_long_stem_still_makes_a_name(tmp_path: Path) -> None:
    assert len(create_run(tmp_path, stem="x" * 300).name) <= 100


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    (create_run(tmp_path, "first") / CHECKPOINTS).mkdir()
    (tmp_path / "first" / CHECKPOINTS / "step-00000000.pt").touch()
    with pytest.raises(UserError, match=r"the run 'first' exists in .*: choose another name, or resume it"):
        create_run(tmp_path, "first")


def test_what_a_run_left_that_was_cut_off_while_it_started_is_taken_over(tmp_path: Path) -> None:
    begun = create_run(tmp_path, "dead")
    for name in ("console.log", "config.yaml", "run.sqlite"):
        (begun / name).touch()
    (begun / CHECKPOINTS).mkdir()
    (begun / CHECKPOINTS / "step-00000000.partial").touch()
    assert create_run(tmp_path, "dead") == begun
    with lock_run(begun), pytest.raises(UserError, match="in use"):
        create_run(tmp_path, "dead")


@pytest.mark.parametrize("name", ["thesis.txt", "checkpoints/best.pt", "forensics/a/note", "tensorboard/mine"])
def test_a_directory_with_anything_else_in_it_is_not_taken_over(tmp_path: Path, name: str) -> None:
    file = create_run(tmp_path, "mine") / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("worth keeping")
    with pytest.raises(UserError, match="the run 'mine' exists"):
        create_run(tmp_path, "mine")
    discard_run(tmp_path / "mine")
    assert file.read_text() == "worth keeping"


def test_a_link_is_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="the run 'link' exists"):
        create_run(tmp_path, "link")


def test_a_refused_run_leaves_nothing_of_what_this_process_made(tmp_path: Path) -> None:
    refused = create_run(tmp_path, "refused")
    with closing(create_journal(refused)), lock_run(refused):
        pass
    (refused / "console.log").write_text("a warning")
    discard_run(refused)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_another_process_made_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    assert create_run(tmp_path, "theirs") == tmp_path / "theirs"
    discard_run(tmp_path / "theirs")
    assert (tmp_path / "theirs").is_dir()


def test_a_run_that_took_a_step_or_that_cannot_be_read_is_never_removed(tmp_path: Path) -> None:
    for name in ("stepped", "damaged"):
        create_run(tmp_path, name)
    writer = JournalWriter(tmp_path / "stepped")
    writer.start()
    writer.record_step(1, 0.1, ("loss/total",), (1.0,))
    writer.close()
    (tmp_path / "damaged" / JOURNAL_FILE).write_bytes(b"not a database" * 100)
    for name in ("stepped", "damaged"):
        discard_run(tmp_path / name)
        assert (tmp_path / name / JOURNAL_FILE).exists()


def test_a_run_that_another_process_has_taken_meanwhile_is_not_removed(tmp_path: Path) -> None:
    path = create_run(tmp_path, "raced")
    with start_program(HOLDER, path) as holder:
        assert first_line(holder) == "locked"
        discard_run(path)
        assert path.is_dir()
        holder.kill()
        holder.wait()


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "-x", "latest", "a\\b", "a\nb", "a\x1b[31m", "x" * 101])
def test_a_name_that_is_no_directorys_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="cannot be a run's name"):
        create_run(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


def test_a_place_where_nothing_can_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot create a run in"):
        create_run(tmp_path / "file" / "runs", "first")


def test_runs_are_listed_with_the_one_started_last_first(tmp_path: Path) -> None:
    paths = [make_run(tmp_path, name, started=when) for name, when in (("b", 100), ("c", 300), ("a", 200))]
    (tmp_path / "no-run").mkdir()
    (tmp_path / "file").touch()
    assert list_runs(tmp_path) == [paths[1], paths[2], paths[0]]
    assert started_at(paths[0]) == 100
    assert list_runs(tmp_path / "nowhere") == []


def test_a_run_that_was_never_locked_started_with_its_journal(tmp_path: Path) -> None:
    path = create_run(tmp_path, "copied")
    (path / JOURNAL_FILE).touch()
    os.utime(path / JOURNAL_FILE, (50, 50))
    assert started_at(path) == 50


def test_a_run_is_found_by_name_by_path_and_as_the_latest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = make_run(tmp_path / "runs", "first", started=100)
    second = make_run(tmp_path / "runs", "second", started=50)
    assert find_run(tmp_path / "runs", "second") == second
    assert find_run(tmp_path / "runs", "latest") == first
    assert find_run(tmp_path / "other", str(second)) == second
    assert find_run(tmp_path / "other", str(second / JOURNAL_FILE)) == second
    monkeypatch.chdir(tmp_path)
    assert find_run(Path("elsewhere"), "runs/first").resolve() == first
    monkeypatch.chdir(first)
    assert find_run(Path("elsewhere"), ".").name == "first"


@pytest.mark.parametrize("name", ["frist", "", "first/checkpoints", "/", "..", "fi\nrst"])
def test_a_run_that_is_not_there_is_named_with_the_nearest(tmp_path: Path, name: str) -> None:
    make_run(tmp_path, "first", started=100)
    with pytest.raises(UserError, match="there is no run") as caught:
        find_run(tmp_path, name)
    assert "first" in str(caught.value)


def test_the_latest_of_no_runs_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no run in .* yet"):
        find_run(tmp_path, "latest")


def test_a_run_in_use_names_the_process_until_it_dies(tmp_path: Path) -> None:
    path = make_run(tmp_path, "first", started=100)
    with start_program(HOLDER, path) as holder:
        assert first_line(holder) == "locked"
        with pytest.raises(UserError, match=f"the run 'first' is in use by process {holder.pid}: stop it first"):
            lock_run(path)
        holder.kill()
        holder.wait()
    with lock_run(path):
        assert (path / LOCK_FILE).read_text() == f"{os.getpid()}\n"


def test_a_run_that_cannot_be_locked_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot lock the run"):
        lock_run(tmp_path / "nowhere")


def test_locking_makes_a_run_the_latest(tmp_path: Path) -> None:
    older = make_run(tmp_path, "older", started=100)
    make_run(tmp_path, "newer", started=200)
    with lock_run(older):
        assert find_run(tmp_path, "latest") == older
