"""A run before torch is imported: its reports, and cleanup if it cannot begin."""

from __future__ import annotations

import logging
from contextlib import closing
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.journal.disk.run_dir import CONSOLE_LOG
from engine.journal.reader import JournalReader
from engine.protocol.events import Activity, AlertRaised, NoteAdded, RunFailed, RunFinished
from engine.protocol.state import RunState, with_measured
from engine.runtime.start.bootstrap import IMPORTING, RunRequest, open_recorder
from engine.runtime.start.console_log import logging_to
from tests.small import small_config


def state_of(directory: Path) -> RunState | None:
    with closing(JournalReader(directory)) as reader:
        return reader.state()


def request(directory: Path, *, resume: bool = False) -> RunRequest:
    directory.mkdir(exist_ok=True)
    return RunRequest(directory, small_config(), device="cpu", resume=resume)


def test_a_run_says_from_the_first_moment_what_it_is_doing(tmp_path):
    with open_recorder(request(tmp_path / "run")) as recorder:
        assert recorder.journal.flush()
        state = state_of(tmp_path / "run")
        assert state is not None
        assert (state.activity, state.doing, state.phase) == (Activity.STARTING, IMPORTING, 1)
        with closing(JournalReader(tmp_path / "run")) as reader:
            assert reader.is_alive()


def test_a_second_process_cannot_open_it(tmp_path):
    again = open_recorder(request(tmp_path / "run"))
    with open_recorder(request(tmp_path / "run")), pytest.raises(UserError, match="in use"), again:
        pass


def finished(directory: Path) -> dict[str, bytes]:
    with open_recorder(request(directory)) as recorder:
        recorder.update(step=7)
        recorder.record_event(RunFinished("complete", 1.0))
    return contents(directory)


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_resumed_run_is_not_touched_before_it_is_begun(tmp_path):
    before = finished(tmp_path / "run")
    with open_recorder(request(tmp_path / "run", resume=True)) as recorder:
        recorder.update(doing="indexing the data")
        recorder.record_event(AlertRaised("one", "heard of before"))
        logging.getLogger("a library").warning("something looks odd")
        assert contents(tmp_path / "run") == before
        recorder.begin()
        assert recorder.journal.flush()
        with closing(JournalReader(tmp_path / "run")) as reader:
            assert reader.is_alive() and isinstance(reader.events()[-1].event, AlertRaised)
        assert "something looks odd" in (tmp_path / "run" / CONSOLE_LOG).read_text()


def test_a_resume_that_cannot_be_leaves_the_run_as_it_was(tmp_path):
    before = finished(tmp_path / "run")
    with pytest.raises(UserError), open_recorder(request(tmp_path / "run", resume=True)) as recorder:
        recorder.record_event(RunFailed("nothing is left to do"))
        raise UserError("nothing is left to do")
    assert contents(tmp_path / "run") == before


def test_a_resume_that_fails_by_a_fault_of_the_program_leaves_its_traceback(tmp_path):
    before = finished(tmp_path / "run")
    with open_recorder(request(tmp_path / "run", resume=True)):
        logging.getLogger("engine").error("the engine failed")
    after = contents(tmp_path / "run")
    assert b"the engine failed" in after.pop(CONSOLE_LOG) and after == before


def test_a_run_that_took_a_step_cannot_be_begun_again(tmp_path):
    with open_recorder(request(tmp_path / "run")) as recorder:
        recorder.journal.record_step(1, 0.1, ("loss/total",), (1.0,))
    with pytest.raises(UserError, match="exists"), open_recorder(request(tmp_path / "run")):
        pass


def test_only_events_and_measurements_change_the_state_of_a_run_with_events(tmp_path):
    with open_recorder(request(tmp_path / "run")) as recorder:
        recorder.start_from(with_measured(recorder.state, step=3))
        recorder.record_event(NoteAdded("begun"))
        with pytest.raises(RuntimeError, match="has recorded an event"):
            recorder.start_from(recorder.state)
        with pytest.raises(AttributeError):
            recorder.state = recorder.state
        assert recorder.state.step == 3


def test_a_log_that_cannot_be_opened_disturbs_nothing(tmp_path):
    with logging_to(tmp_path / "nowhere" / "console.log") as log:
        log.begin()
        logging.getLogger("engine").error("not to be written")
    assert list(tmp_path.iterdir()) == []
