"""A recorder keeps the journal's copy of the task's spec as new as its events."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import pytest

from engine.journal.reader import JournalReader
from engine.journal.tail import JournalTail
from engine.journal.task_meta import TASK, spec_of
from engine.protocol import events as e
from engine.protocol.state import Knob, RunState
from engine.protocol.task_spec import Metric, TaskSpec, Term, Unsupported
from engine.runtime.recorder import RunRecorder
from tests.recorded import writing

LOOP = TaskSpec(
    "loop",
    terms=(Term("ce"), Term("kl", weight=0.1)),
    metrics=(Metric("accuracy"),),
    score="accuracy",
    unsupported=(Unsupported("validate", "your loop validates"),),
)


def test_a_described_task_is_the_spec_of_every_reader(tmp_path: Path) -> None:
    with writing(tmp_path) as journal:
        recorder = RunRecorder(RunState("loop", loss_weights={"ce": 2.0}), journal)
        recorder.record_event(e.TaskDescribed(LOOP))
        recorder.record_event(e.KnobDeclared("tau", 0.7, 0.1, 2.0))
        assert journal.flush()
        with closing(JournalReader(tmp_path)) as reader:
            state, events = reader.state(), [entry.event for entry in reader.events()]
            assert reader.spec() == LOOP
    assert state is not None and state.spec == LOOP == recorder.state.spec
    assert state.loss_weights == {"ce": 2.0, "kl": 0.1} and state.knobs == {"tau": Knob(0.7, 0.1, 2.0)}
    assert events == [e.TaskDescribed(LOOP), e.KnobDeclared("tau", 0.7, 0.1, 2.0)]


def test_no_reader_sees_a_described_task_before_its_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.journal.writer.ROWS_PER_COMMIT", 1)
    with writing(tmp_path) as journal, closing(JournalTail(tmp_path, busy_seconds=1.0)) as tail:
        recorder = RunRecorder(RunState("loop"), journal)
        for number in range(300):
            recorder.record_event(e.TaskDescribed(TaskSpec(str(number))))
        seen, deadline = -1, time.monotonic() + 60
        while seen < 299 and time.monotonic() < deadline:
            with tail.snapshot():
                newest = tail.events(0, limit=1000).entries[-1:]
                spec = spec_of(tail.meta(TASK))
            for entry in newest:
                assert isinstance(entry.event, e.TaskDescribed)
                seen = int(entry.event.spec.name)
                assert int(spec.name) >= seen
    assert seen == 299
