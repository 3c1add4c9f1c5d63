"""Lists of runs: what a directory holds is found, read once, kept in an index, and followed as it changes."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from cockpit.session.run_list import catalogue as module
from cockpit.session.run_list.catalogue import RunCatalogue
from cockpit.session.run_list.index_file import index_file, load_index
from cockpit.session.run_list.listed_run import NO_JOURNAL, UNREADABLE
from cockpit.session.run_list.watcher import RunWatcher
from engine.errors import UserError
from engine.journal.disk.find_run import list_runs
from engine.journal.disk.labels import set_note, set_tags
from engine.journal.disk.manage import delete_run, rename_run
from engine.journal.disk.run_dir import LOCK_FILE, has_journal
from engine.journal.store import JOURNAL_FILE
from tests.many_runs import make_runs
from tests.recorded_run import RecordedRun


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    make_runs(tmp_path / "runs", 5)
    return tmp_path / "runs"


def read(runs_dir: Path, index: Path | None = None) -> RunCatalogue:
    catalogue = RunCatalogue(runs_dir, index)
    catalogue.scan()
    catalogue.read(tuple(catalogue.unread))
    return catalogue


def test_every_run_of_the_plain_list_is_in_it(runs_dir: Path) -> None:
    (runs_dir / "no run").mkdir()
    (runs_dir / "file").touch()
    lost = runs_dir / "lost" / "checkpoints"
    lost.mkdir(parents=True)
    (lost / "step-00000010.pt").touch()
    (runs_dir / "empty").mkdir()
    (runs_dir / "empty" / JOURNAL_FILE).touch()
    (runs_dir / "torn").mkdir()
    (runs_dir / "torn" / JOURNAL_FILE).write_bytes(b"nothing like a journal")
    rows = read(runs_dir).rows
    assert set(rows) == {path.name for path in list_runs(runs_dir)}
    assert {name: run.state for name, run in rows.items() if not name.startswith("tiny")} == {
        "lost": NO_JOURNAL,
        "empty": NO_JOURNAL,
        "torn": UNREADABLE,
    }
    assert "torn" in rows["torn"].reason and "--resume lost goes on" in rows["lost"].reason
    assert all(rows[path.name].facts is not None for path in runs_dir.glob("tiny-*"))


def test_the_last_started_are_read_first(runs_dir: Path) -> None:
    catalogue = RunCatalogue(runs_dir)
    assert catalogue.scan() and list(catalogue.unread) == [path.name for path in list_runs(runs_dir)]


def test_a_directory_that_is_not_there_has_no_runs_and_one_that_cannot_be_listed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not RunCatalogue(tmp_path / "none").scan()

    def refuse_to_list(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse_to_list)
    with pytest.raises(UserError, match=r"cannot list the runs in .*: Permission denied"):
        RunCatalogue(tmp_path).scan()


def test_a_run_of_another_user_says_whose_it_is(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.stat

    def stat(path: str | Path, **more: bool) -> os.stat_result:
        if "tiny-0002" in str(path):
            raise PermissionError(13, "Permission denied")
        return real(path, **more)

    monkeypatch.setattr(module.os, "stat", stat)
    run = read(runs_dir).rows["tiny-0002"]
    assert run.state == UNREADABLE and "no permission to read the run 'tiny-0002'" in run.reason


def test_an_index_saves_reading_until_a_journal_changes(runs_dir: Path) -> None:
    index = index_file(runs_dir.parent / "cache", runs_dir)
    first = read(runs_dir, index)
    first.save()
    assert oct(index.stat().st_mode)[-3:] == "600"
    second = RunCatalogue(runs_dir, index)
    second.scan()
    assert second.rows == first.rows and not second.unread
    journal = runs_dir / "tiny-0003" / JOURNAL_FILE
    os.utime(journal, ns=(1, journal.stat().st_mtime_ns + 1))
    third = RunCatalogue(runs_dir, index)
    third.scan()
    assert list(third.unread) == ["tiny-0003"] and third.rows["tiny-0004"].facts is not None


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[]", b'{"format": [0], "runs": {}}', b"\xff", None],
    ids=["empty", "cut off", "list", "other version", "bytes", "other values"],
)
def test_an_index_that_cannot_be_used_is_written_again(runs_dir: Path, damage: bytes | None) -> None:
    index = runs_dir.parent / "index.json"
    read(runs_dir, index).save()
    index.write_bytes(index.read_bytes().replace(b'"finished"', b'"cooking"') if damage is None else damage)
    assert load_index(index) == {}
    catalogue = read(runs_dir, index)
    catalogue.save()
    assert set(load_index(index)) == set(catalogue.rows)


def test_an_index_that_cannot_be_written_is_done_without(runs_dir: Path) -> None:
    (runs_dir.parent / "file").touch()
    catalogue = read(runs_dir, runs_dir.parent / "file" / "index.json")
    catalogue.save()
    assert len(catalogue.rows) == 5


def test_changes_of_the_directory_are_followed(runs_dir: Path) -> None:
    catalogue = read(runs_dir)
    assert not catalogue.scan()
    set_note(runs_dir / "tiny-0000", "the first")
    set_tags(runs_dir / "tiny-0000", ["base"])
    rename_run(runs_dir / "tiny-0001", "renamed")
    delete_run(runs_dir / "tiny-0002")
    assert catalogue.scan()
    catalogue.read(tuple(catalogue.unread))
    assert set(catalogue.rows) == {"tiny-0000", "renamed", "tiny-0003", "tiny-0004"}
    assert (catalogue.rows["tiny-0000"].labels.note, catalogue.rows["tiny-0000"].labels.tags) == (
        "the first",
        ("base",),
    )
    set_note(runs_dir / "tiny-0000", "")
    shutil.rmtree(runs_dir / "tiny-0003")
    assert catalogue.scan() and catalogue.rows["tiny-0000"].labels.note == "" and len(catalogue.rows) == 3


def test_live_runs_are_read_again_and_finished_ones_are_not(runs_dir: Path) -> None:
    with closing(RecordedRun(runs_dir / "live")) as run:
        run.begin()
        run.train(20)
        catalogue = read(runs_dir)
        before = catalogue.rows["live"]
        assert before.is_live and before.state == "running" and before.ended == 0.0
        run.train(30)
        finished = {name: row for name, row in catalogue.rows.items() if name != "live"}
        assert catalogue.refresh()
        after = catalogue.rows["live"].facts
        assert after is not None and after.step == 30
        assert all(catalogue.rows[name] is row for name, row in finished.items())
    assert catalogue.refresh() and not catalogue.refresh()
    ended = catalogue.rows["live"]
    assert (ended.state, ended.is_live) == ("failed", False) and "left without finishing" in ended.reason


def test_the_watcher_reads_the_rows_on_the_screen_first(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    real = RunCatalogue.read

    def note(catalogue: RunCatalogue, names: Sequence[str]) -> None:
        order.extend(names)
        real(catalogue, names)

    monkeypatch.setattr(RunCatalogue, "read", note)
    watcher = RunWatcher(RunCatalogue(runs_dir))
    watcher.prefer(["tiny-0001", "gone"])
    watcher.update()
    assert order[0] == "tiny-0001" and sorted(order) == [f"tiny-{number:04d}" for number in range(5)]
    assert watcher.listing.unread == 0 and len(watcher.listing.rows) == 5


def test_the_watcher_publishes_changes_only(runs_dir: Path) -> None:
    watcher = RunWatcher(RunCatalogue(runs_dir))
    watcher.update()
    before = watcher.listing
    watcher.look_now()
    watcher.update()
    assert watcher.listing is before
    set_note(runs_dir / "tiny-0004", "x")
    watcher.look_now()
    watcher.update()
    assert watcher.listing.rows["tiny-0004"].labels.note == "x"


def test_the_thread_of_the_watcher_ends_and_saves_the_index(runs_dir: Path) -> None:
    index = runs_dir.parent / "index.json"
    watcher = RunWatcher(RunCatalogue(runs_dir, index))
    watcher.start()
    deadline = time.monotonic() + 20
    while not index.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    watcher.close()
    assert len(load_index(index)) == 5 and watcher.listing.unread == 0


def test_runs_without_a_lock_file_have_the_time_of_their_journal(runs_dir: Path) -> None:
    (runs_dir / "tiny-0000" / LOCK_FILE).unlink()
    os.utime(runs_dir / "tiny-0000" / JOURNAL_FILE, (7.0, 7.0))
    run = read(runs_dir).rows["tiny-0000"]
    assert run.started == 7.0 and has_journal(run.path)
