"""The facts of runs in a list: the same as `status` prints, whatever state the journal is in."""

from __future__ import annotations

import json
import math
import socket
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from cockpit.cli.commands.reading.status import read_status
from cockpit.session.run_list.facts import RunFacts, points_of, present_activity
from cockpit.session.run_list.facts_reader import ALERTS, NO_CAUSES, read_facts
from cockpit.session.run_list.listed_run import ListedRun
from cockpit.text.event_text import REGISTRY
from engine.errors import UserError
from engine.journal.sessions import WriterSession
from engine.journal.store import JOURNAL_FILE
from engine.journal.task_meta import ATTACHED, PARENT, TASK, Attached
from engine.protocol import events as e
from engine.protocol.codec import to_json
from engine.protocol.events import Activity
from engine.protocol.wire import EVENT_KINDS, spec_to_json
from engine.tasks.person.spec import SPEC
from tests.foreign_run import ForeignRun
from tests.recorded_run import RecordedRun, record_run


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record_run(tmp_path_factory.mktemp("runs") / "one", steps=400, finished=True)


def test_a_finished_run_has_the_facts_of_its_status_and_is_left_as_it_is(recorded: Path) -> None:
    before = sorted(path.name for path in recorded.iterdir())
    facts = read_facts(recorded)
    assert sorted(path.name for path in recorded.iterdir()) == before
    status = read_status(recorded)
    for name in ("step", "total_steps", "epoch", "phase", "loss", "grad_norm", "lr", "score", "spikes", "alerts"):
        assert getattr(facts, name) == status[name], name
    assert (facts.best, facts.skipped, facts.activity) == (status["best_score"], status["skipped_steps"], "finished")
    assert facts.alerts > 0 and facts.ended > 0 and facts.program == ""
    assert read_facts(recorded) == facts


def test_the_curve_is_that_of_the_newest_branch_with_gaps_for_what_was_not_finite(recorded: Path) -> None:
    curve = read_facts(recorded).curve
    assert len(curve) == 40 and None in curve
    assert curve[-1] == pytest.approx(read_facts(recorded).loss, rel=0.1)


@pytest.mark.parametrize(("reason", "is_stopped"), [("stopped", True), ("complete", False), ("detached", False)])
def test_a_run_that_a_command_ended_is_told_from_a_finished_one(tmp_path: Path, reason: str, is_stopped: bool) -> None:
    with closing(RecordedRun(tmp_path / "one")) as run:
        run.begin()
        run.note(e.RunFinished(reason, 3.0))
        run.observe(activity=Activity.FINISHED)
    facts = read_facts(run.directory)
    assert (facts.activity, facts.is_stopped) == ("finished", is_stopped)
    assert ListedRun(run.directory).with_facts(facts).state == ("stopped" if is_stopped else "finished")


def test_points_are_medians_of_groups() -> None:
    assert list(points_of([1.0, 2.0, 3.0, 100.0, 5.0, 6.0], 2)) == [2.0, 6.0]
    assert list(points_of([1.0, math.nan, 3.0, math.inf, 5.0], 5)) == [1.0, None, 3.0, None, 5.0]
    assert list(points_of([], 5)) == []


def test_a_run_with_its_log_is_read_up_to_its_newest_row(tmp_path: Path) -> None:
    with closing(RecordedRun(tmp_path / "live")) as run:
        run.begin()
        run.train(20)
        facts = read_facts(run.directory)
        assert (facts.activity, facts.step, facts.ended) == ("running", 20, 0.0)
        assert facts.writer is not None and facts.writer.is_alive()
        run.note(e.AlertRaised("loss", "above the bound"))
        assert read_facts(run.directory).alerts == 1


def test_the_parent_the_task_and_the_program_are_read_from_the_meta_table(tmp_path: Path) -> None:
    with closing(RecordedRun(tmp_path / "branch")) as run:
        run.begin()
        run.journal.set_meta(PARENT, {"run": "trunk", "step": 120})
        run.journal.set_meta(TASK, spec_to_json(replace(SPEC, name="people", lower_is_better=True)))
        run.journal.set_meta(ATTACHED, to_json(Attached("loop", "train.py")))
        run.observe()
    facts = read_facts(run.directory)
    assert (facts.parent, facts.task, facts.lower_is_better, facts.program) == (
        ("trunk", 120),
        "people",
        True,
        "train.py",
    )


def test_a_run_of_a_foreign_program_is_read(tmp_path: Path) -> None:
    with closing(ForeignRun(tmp_path / "foreign")) as run:
        facts = read_facts(run.directory)
        assert (facts.activity, facts.task, facts.curve) == ("running", "own loop", ())


@pytest.mark.parametrize("damage", [b"no journal", b"SQLite format 3\x00" + b"x" * 5000], ids=["text", "torn"])
def test_a_damaged_journal_is_one_sentence(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / JOURNAL_FILE).write_bytes(damage)
    with pytest.raises(UserError, match=r"cannot (open|read) .*run\.sqlite"):
        read_facts(tmp_path)


def test_rows_that_are_not_understood_are_one_sentence(recorded: Path, tmp_path: Path) -> None:
    (tmp_path / JOURNAL_FILE).write_bytes((recorded / JOURNAL_FILE).read_bytes())
    with closing(sqlite3.connect(tmp_path / JOURNAL_FILE)) as connection:
        connection.execute("UPDATE state SET body = ?", (json.dumps([1])[:-1],))
        connection.commit()
    with pytest.raises(UserError, match=r"cannot read .*run\.sqlite"):
        read_facts(tmp_path)


def test_the_kinds_of_alerts_and_of_other_events_are_those_of_the_registry() -> None:
    kinds = {info.kind for info in REGISTRY if info.trouble is not None}
    troubling = {word for word, kind in EVENT_KINDS.items() if kind in kinds}
    assert troubling == set(ALERTS)
    assert set(NO_CAUSES) <= EVENT_KINDS.keys() - troubling


@pytest.mark.parametrize(
    ("session", "present"),
    [
        (None, (Activity.RUNNING, "")),
        ({"ended": 5.0}, (Activity.FAILED, "process 1 left without finishing the run")),
        ({"pid": 2**22 + 1}, (Activity.FAILED, "process 4194305 is gone without a word")),
        ({"host": "elsewhere"}, (Activity.RUNNING, "has been silent for")),
    ],
    ids=["none", "ended", "gone", "silent"],
)
def test_a_run_whose_process_is_gone_has_failed(
    session: dict[str, object] | None, present: tuple[Activity, str]
) -> None:
    known = WriterSession(1, 1.0, None, 1.0, 1, socket.gethostname(), 0)
    made = None if session is None else replace(known, **session)  # type: ignore[arg-type]
    activity, reason = present_activity(Activity.RUNNING, made)
    assert activity is present[0] and present[1] in reason and bool(reason) == bool(present[1])
    assert present_activity(Activity.FINISHED, made) == (Activity.FINISHED, "")


def test_facts_without_a_writer_have_no_end() -> None:
    assert RunFacts().writer is None and RunFacts().ended == 0.0
