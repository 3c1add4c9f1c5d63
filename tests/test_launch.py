"""What a run says before torch is there, and what is left of it when it cannot begin."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.journal.reader import JournalReader
from engine.launch import IMPORTING, RunRequest, open_ledger
from engine.protocol.events import Activity, RunFinished
from engine.protocol.state import RunState
from tests.small import small_config


def state_of(directory: Path) -> RunState | None:
    with closing(JournalReader(directory)) as reader:
        return reader.state()


def request(directory: Path, *, resume: bool = False) -> RunRequest:
    directory.mkdir(exist_ok=True)
    return RunRequest(directory, small_config(), device="cpu", resume=resume)


def test_a_run_says_from_the_first_moment_what_it_is_doing(tmp_path):
    with open_ledger(request(tmp_path / "run")) as ledger:
        assert ledger.journal.flush()
        state = state_of(tmp_path / "run")
        assert state is not None
        assert (state.activity, state.doing, state.phase) == (Activity.STARTING, IMPORTING, 1)
        with closing(JournalReader(tmp_path / "run")) as reader:
            assert reader.is_alive()


def test_a_second_process_cannot_open_it(tmp_path):
    again = open_ledger(request(tmp_path / "run"))
    with open_ledger(request(tmp_path / "run")), pytest.raises(UserError, match="in use"), again:
        pass


def finished(directory: Path) -> RunState:
    with open_ledger(request(directory)) as ledger:
        ledger.observe(step=7)
        ledger.note(RunFinished("complete", 1.0))
    state = state_of(directory)
    assert state is not None and state.activity is Activity.FINISHED
    return state


def test_a_resumed_run_is_shown_as_it_was_while_torch_is_imported(tmp_path):
    finished(tmp_path / "run")
    with open_ledger(request(tmp_path / "run", resume=True)) as ledger:
        assert ledger.journal.flush()
        state = state_of(tmp_path / "run")
        assert state is not None and (state.step, state.activity, state.doing) == (7, Activity.STARTING, IMPORTING)


def test_a_resume_that_cannot_be_leaves_the_run_as_it_was(tmp_path):
    before = finished(tmp_path / "run")
    with pytest.raises(UserError), open_ledger(request(tmp_path / "run", resume=True)):
        raise UserError("nothing is left to do")
    assert state_of(tmp_path / "run") == before
