"""Curves from a journal: the current lineage, only steps that were recorded, marks where somebody steered."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from cockpit.console.charts import chart_lines, marked_steps, read_curves
from engine.journal.reader import JournalReader
from engine.protocol import events as e
from engine.protocol.events import Status
from tests.console.scripted import ScriptedRun


@pytest.fixture
def reader(run: ScriptedRun) -> Iterator[JournalReader]:
    reader = JournalReader(run.directory)
    yield reader
    reader.close()


def test_curves_hold_the_steps_that_recorded_them(run: ScriptedRun, reader: JournalReader) -> None:
    for step in range(1, 5):
        run.train(step, loss=math.nan if step == 3 else float(step))
    run.validate(0.25)
    loss, miou = read_curves(reader, ["loss/total", "val/miou"])

    assert loss.steps.tolist() == [1, 2, 3, 4]
    assert math.isnan(loss.values[2])
    assert (miou.steps.tolist(), miou.values.tolist()) == ([4], [0.25])


def test_superseded_steps_are_left_out(run: ScriptedRun, reader: JournalReader) -> None:
    for step in range(1, 5):
        run.train(step, loss=1.0)
    run.journal.open_branch(2)
    run.train(3, loss=7.0)
    (loss,) = read_curves(reader, ["loss/total"])

    assert (loss.steps.tolist(), loss.values.tolist()) == ([1, 2, 3], [1.0, 1.0, 7.0])


def test_norms_and_spiky_losses_are_logarithmic(run: ScriptedRun, reader: JournalReader) -> None:
    for step in range(1, 10):
        run.train(step, loss=1000.0 if step == 5 else 1.0, norm=1.0)
    run.validate(0.2)

    kinds = {
        curve.name: curve.log for curve in read_curves(reader, ["loss/total", "grad_norm/total", "val/miou", "lr"])
    }
    assert kinds == {"loss/total": True, "grad_norm/total": True, "val/miou": False, "lr": False}


def test_a_norm_that_was_always_zero_is_still_drawn(run: ScriptedRun, reader: JournalReader) -> None:
    run.train(1, norm=0.0)
    run.train(2, norm=0.0)

    assert not read_curves(reader, ["grad_norm/total"])[0].log


def test_marks_are_the_steps_at_which_training_was_changed(run: ScriptedRun, reader: JournalReader) -> None:
    run.train(10)
    run.note(e.LrScaled(1e-3, 5e-4, 0.5), status=Status.APPLIED, actor="cli:ann")
    run.note(e.NoteAdded("looks calm"), status=Status.APPLIED, actor="cli:ann")
    run.train(20)
    run.note(e.CommandRefused("set_lr", {}), status=Status.REFUSED, actor="cli:ann")
    run.train(30)
    run.note(e.RolledBack("step-10.pt", 30, 10))

    assert marked_steps(reader.events()) == (10, 30)


def test_a_metric_nobody_recorded_is_an_empty_curve(run: ScriptedRun, reader: JournalReader) -> None:
    run.train(1)

    assert chart_lines(read_curves(reader, ["val/miou"]), width=80) == ["val/miou  no values yet", ""]
