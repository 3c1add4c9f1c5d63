"""A disk that does not answer while the folder of checkpoints is listed: it is said, and the run goes on."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cockpit.text.events.faults import _ALERT_FAMILIES
from engine.errors import UserError
from engine.journal.disk.run_dir import CHECKPOINTS
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.words.script import ScriptedCommand
from engine.runtime.loop import Loop
from engine.runtime.outages import run_directory
from engine.runtime.outages.inventory import Inventory
from engine.runtime.start.bootstrap import RunRequest
from engine.runtime.start.resume import find_start
from engine.training.checkpoint.file import CheckpointDamagedError, list_checkpoints, load_checkpoint
from engine.training.checkpoint.writer import CheckpointWriter
from tests.faulty import entries, long_config, run, state_of
from tests.training.checkpoint.test_file import _saved, _snapshot


class Disk:
    """The disk of the checkpoints: while `error` is a number, listing them fails with it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.error = 0
        self.failed = 0
        scan = os.scandir

        def scandir(path: str | Path = ".") -> Iterator[os.DirEntry[str]]:
            if self.error and Path(path).name in (CHECKPOINTS, "superseded"):
                self.failed += 1
                raise OSError(self.error, os.strerror(self.error), str(path))
            return scan(path)

        monkeypatch.setattr(os, "scandir", scandir)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    monkeypatch.setattr(run_directory, "_SECONDS", 0.0)
    return Disk(monkeypatch)


def test_a_disk_that_does_not_answer_ends_no_run_and_refuses_a_rollback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: Disk
) -> None:
    error, turn = errno.ESTALE, Loop.turn

    def turned(loop: Loop) -> str:
        if not disk.error:
            loop._checkpointer.wait_for_checkpoints()
        disk.error = error if 3 <= loop._recorder.state.step < 5 else 0
        return turn(loop)

    monkeypatch.setattr(Loop, "turn", turned)
    config = long_config(training={"max_steps": 6}, checkpoint={"every_steps": 2, "keep_last": 9})
    script = (ScriptedCommand(4, c.Rollback("2"), 1),)
    assert run(tmp_path / "run", config, script=script) == 0
    (alert,) = (entry.event for entry in entries(tmp_path / "run", e.AlertRaised))
    assert isinstance(alert, e.AlertRaised) and alert.kind == run_directory.UNLISTED and alert.kind in _ALERT_FAMILIES
    assert alert.message.startswith(f"the checkpoints cannot be listed: {os.strerror(error)} (in ")
    (refused,) = entries(tmp_path / "run", e.CommandRefused)
    assert refused.reason == f"the checkpoints after step 2 cannot be set aside: {os.strerror(error)}"
    notes = [entry.event.text for entry in entries(tmp_path / "run", e.NoteAdded)]  # type: ignore[union-attr]
    assert any(note.startswith("the checkpoints can be listed again after ") for note in notes)
    state = state_of(tmp_path / "run")
    assert state.step == 6 and "step-00000004.pt" in state.checkpoints, "the one of the outage is known"
    assert state.checkpoints == tuple(path.name for path in list_checkpoints(tmp_path / "run" / CHECKPOINTS))


def test_a_resume_whose_disk_does_not_answer_is_refused_in_one_sentence(tmp_path: Path, disk: Disk) -> None:
    disk.error = errno.EIO
    with pytest.raises(UserError, match=r"the checkpoints in .* cannot be listed: Input/output error; --resume when"):
        find_start(RunRequest(tmp_path, long_config(), device="cpu", resume=True))


def test_a_writer_whose_disk_cannot_be_listed_takes_nothing_for_deleted(tmp_path: Path, disk: Disk) -> None:
    folder = tmp_path / CHECKPOINTS
    writer, inventory = CheckpointWriter(folder, keep_last=9, before_rename=lambda: None), Inventory(9)
    for step in (1, 2):
        disk.error = 0 if step == 1 else errno.ENOTCONN
        writer.submit(_snapshot(step))
        (written,) = writer.wait()
        inventory.note(written)
    writer.close()
    assert disk.failed and written.left is None
    disk.error = 0
    assert inventory.check([path.name for path in list_checkpoints(folder)]) == []


def test_a_folder_that_is_not_there_has_no_checkpoints_and_a_file_that_cannot_be_asked_for_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list_checkpoints(tmp_path / "none") == []
    (path,) = _saved(tmp_path, 1)
    assert list_checkpoints(path) == []

    def stale(self: Path) -> bool:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr(Path, "is_file", stale)
    with pytest.raises(CheckpointDamagedError, match=r"cannot be verified: .*Stale file handle"):
        load_checkpoint(path)
