"""Directories that others can write to: their private runs, and links planted in a run that lead out of it."""

from __future__ import annotations

import codecs
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import cockpit.cli.commands.reading.plot  # imported before the tests become another user
import cockpit.cli.commands.send  # noqa: F401
import engine.runtime.train  # noqa: F401
from engine.errors import UserError
from engine.journal.disk.find_run import find_run, list_runs
from engine.journal.disk.run_dir import LOCK_FILE, lock_run
from engine.training.checkpoint.file import Snapshot, save_checkpoint
from engine.training.checkpoint.retention import prune
from main import main
from tests.faulty import run
from tests.small import small_config

for codec in ("utf-32-le", "utf-8-sig"):
    codecs.lookup(codec)
NOBODY = 65534
VICTIM = "my own thesis"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three steps."""
    directory = tmp_path_factory.mktemp("shared") / "trained"
    assert run(directory, small_config(training={"max_steps": 3})) == 0
    return directory


@contextmanager
def _as_another_user() -> Iterator[None]:
    """Drop the special rights of the files' owner and of root in the block."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(was)


@pytest.fixture
def shared(trained: Path) -> Iterator[Path]:
    """A runs directory with the run 'mine', which all may use, and the private run 'theirs', which began later."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    for name in ("mine", "theirs"):
        shutil.copytree(trained, folder / name)
        for path in (folder / name, *(folder / name).rglob("*")):
            path.chmod(0o777 if path.is_dir() else 0o666)
    os.utime(folder / "mine" / LOCK_FILE, (100, 100))
    (folder / "theirs").chmod(0o700 if os.geteuid() == 0 else 0)
    yield folder
    (folder / "theirs").chmod(0o700)
    shutil.rmtree(folder)


COMMANDS = (
    ("status", "RUN"),
    ("events", "RUN"),
    ("metrics", "RUN"),
    ("plot", "RUN"),
    ("diagnose", "RUN"),
    ("redrive", "RUN"),
    ("send", "RUN", "pause"),
    ("--no-ui", "--resume", "RUN"),
)


def _said(words: tuple[str, ...], name: str, shared: Path, capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    with _as_another_user():
        code = main([*(name if word == "RUN" else word for word in words), "--runs-dir", str(shared)])
    held = capfd.readouterr()
    return code, held.out + held.err


@pytest.mark.parametrize("words", COMMANDS)
def test_a_private_run_is_one_sentence_for_every_command(
    shared: Path, words: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    code, said = _said(words, "theirs", shared, capfd)
    assert code == 2
    assert "no permission to read the run 'theirs'" in said and "Traceback" not in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("words", COMMANDS)
def test_a_journal_that_only_its_owner_may_read_is_one_sentence(
    shared: Path, words: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    (shared / "mine" / "run.sqlite").chmod(0)
    code, said = _said(words, "mine", shared, capfd)
    assert code == 2 and "no permission to read the run 'mine'" in said and len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "mode"),
    [("", 0o555), ("", 0o711), ("run.lock", 0), ("run.sqlite", 0o444), ("config.yaml", 0), ("checkpoints", 0),
     ("checkpoints", 0o666), ("previews", 0)],
)  # fmt: skip
def test_a_run_that_may_not_be_written_is_not_resumed_and_not_changed(
    shared: Path, name: str, mode: int, capfd: pytest.CaptureFixture[str]
) -> None:
    before = _recorded(shared / "mine")
    place = shared / "mine" / name
    place.chmod(mode)
    code, said = _said(("--no-ui", "--resume", "RUN", "--max-steps", "9"), "mine", shared, capfd)
    place.chmod(0o777)
    assert code == 2 and "Permission denied" in said and "the run failed" not in said
    assert said.splitlines()[-1].startswith("error: ") and len(said.splitlines()) <= 2
    assert _recorded(shared / "mine") == before


@pytest.mark.parametrize("words", COMMANDS[:4])
@pytest.mark.parametrize("name", ["mine", "latest"])
def test_the_other_runs_are_usable_next_to_a_private_one(
    shared: Path, words: tuple[str, ...], name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    code, said = _said(words, name, shared, capfd)
    assert code == 0 and "no permission" not in said


def test_runs_lists_what_can_be_read_and_names_the_private_one(shared: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, said = _said(("runs",), "", shared, capfd)
    assert code == 0
    lines = said.splitlines()
    assert any(line.startswith("mine") and "finished" in line for line in lines)
    assert any(line.startswith("theirs") and "unreadable" in line for line in lines)
    assert lines[-1].startswith("no permission to read the run 'theirs': it belongs to ")


def test_a_runs_directory_that_may_not_be_listed_is_one_sentence(shared: Path) -> None:
    shared.chmod(0o711 if os.geteuid() == 0 else 0o111)
    with _as_another_user(), pytest.raises(UserError, match="cannot list the runs in"):
        list_runs(shared)
    shared.chmod(0o777)


def test_the_latest_to_write_to_is_one_that_may_be_written(shared: Path) -> None:
    shutil.copytree(shared / "mine", shared / "readable")
    for path in (shared / "readable", *(shared / "readable").rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    with _as_another_user():
        assert find_run(shared, "latest").name == "readable"
        assert find_run(shared, "latest", to_write=True).name == "mine"
    for path in (shared / "readable", *(shared / "readable").rglob("*")):
        path.chmod(0o777)


def _to_victim(path: Path, victim: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(victim)


def _hard(path: Path, victim: Path) -> None:
    path.unlink(missing_ok=True)
    os.link(victim, path)


def _pipe(path: Path, victim: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def _directory(path: Path, victim: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def _recorded(folder: Path) -> dict[str, bytes]:
    """The contents without an empty log of the journal and its index, which readers make too."""
    held = _contents(folder)
    return {key: text for key, text in held.items() if not key.endswith("-shm") and (text or not key.endswith("-wal"))}


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("name", ["run.lock", "config.yaml", "console.log", "run.sqlite-wal", "run.sqlite-shm"])
@pytest.mark.parametrize("plant", [_to_victim, _hard, _pipe, _directory])
def test_nothing_is_written_through_what_stands_in_a_files_place(
    trained: Path, tmp_path: Path, name: str, plant: Callable[[Path, Path], None], capfd: pytest.CaptureFixture[str]
) -> None:
    run_dir, victim = tmp_path / "evil", tmp_path / "thesis.txt"
    shutil.copytree(trained, run_dir)
    victim.write_text(VICTIM)
    plant(run_dir / name, victim)
    with pytest.raises(UserError, match=name) as caught:
        lock_run(run_dir)
    assert "\n" not in str(caught.value)
    assert victim.read_text() == VICTIM


@pytest.mark.parametrize("name", ["checkpoints", "forensics", "tensorboard", "previews"])
def test_nothing_is_written_or_deleted_behind_a_linked_directory(
    trained: Path, tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    run_dir, others = tmp_path / "evil", tmp_path / "others"
    shutil.copytree(trained, run_dir)
    if (run_dir / name).exists():
        (run_dir / name).rename(others)
    else:
        others.mkdir()
    for number in range(30):
        (others / f"step-{number:08d}.pt").write_text(VICTIM)
    before = _contents(others)
    (run_dir / name).symlink_to(others)
    code = main(["--no-ui", "--resume", "evil", "--runs-dir", str(tmp_path), "--max-steps", "9", "--epochs", "20"])
    said = capfd.readouterr().err
    assert code == 2 and f"{name} is a link" in said and len(said.splitlines()) == 1
    assert _contents(others) == before


@pytest.mark.parametrize("name", ["checkpoints/step-00000004.partial", "checkpoints/step-00000009.pt", "previews/x"])
def test_a_link_inside_a_directory_of_the_run_is_refused(trained: Path, tmp_path: Path, name: str) -> None:
    run_dir, victim = tmp_path / "evil", tmp_path / "thesis.txt"
    shutil.copytree(trained, run_dir)
    victim.write_text(VICTIM)
    (run_dir / name).symlink_to(victim)
    with pytest.raises(UserError, match="is a link, but a run needs a file of its own"):
        lock_run(run_dir)
    assert victim.read_text() == VICTIM


def test_a_journal_that_is_a_link_is_read_and_not_written(
    trained: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "run.sqlite").symlink_to(trained / "run.sqlite")
    before = _contents(trained)
    assert main(["send", "evil", "pause", "--runs-dir", str(tmp_path)]) == 2
    assert "run.sqlite is a link" in capfd.readouterr().err
    assert _contents(trained) == before


def _snapshot(step: int) -> Snapshot:
    return Snapshot(step=step, kind="step", payload={"model": {}}, loss=1.0, score=None, good=True, best=True)


def test_a_link_planted_while_the_run_goes_on_is_not_followed(tmp_path: Path) -> None:
    victim, checkpoints = tmp_path / "thesis.txt", tmp_path / "checkpoints"
    victim.write_text(VICTIM)
    checkpoints.mkdir()
    for name in ("step-00000001.partial", "step-00000001.sha256.partial", "best.partial", "step-00000001.pt.sha256"):
        (checkpoints / name).symlink_to(victim)
    save_checkpoint(checkpoints, _snapshot(1))
    assert victim.read_text() == VICTIM
    checkpoints.rename(tmp_path / "moved")
    checkpoints.symlink_to(tmp_path / "moved")
    for act in (lambda: save_checkpoint(checkpoints, _snapshot(2)), lambda: prune(checkpoints, 0)):
        with pytest.raises(OSError, match="is a link: nothing is written or deleted through it"):
            act()
    assert (tmp_path / "moved" / "step-00000001.pt").is_file()


@pytest.mark.parametrize("held", [b"\xff\xfe\x00", b"", b"1" * 10_000_000, b"12\x1b[2J", "\u0661".encode()])
def test_a_lock_that_holds_no_number_names_no_process(trained: Path, tmp_path: Path, held: bytes) -> None:
    shutil.copytree(trained, tmp_path / "run")
    with lock_run(tmp_path / "run"):
        (tmp_path / "run" / LOCK_FILE).write_bytes(held)
        with pytest.raises(UserError, match=r"is in use by process (\?|1{20}): stop it first"):
            lock_run(tmp_path / "run")
    with lock_run(tmp_path / "run"):
        assert (tmp_path / "run" / LOCK_FILE).read_text() == f"{os.getpid()}\n"
