"""The summary: how it ended, what it reached, what was done to it, and the command that goes on."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from cockpit.console.charts import curves_text
from cockpit.console.summary import read_outcome, resume_command, summary_lines
from engine.journal.reader import JournalReader
from engine.protocol import events as e
from engine.protocol.events import Status
from engine.protocol.task_spec import Metric
from tests.console.scripted import ScriptedRun


def summary(run: ScriptedRun) -> str:
    reader = JournalReader(run.directory)
    outcome = read_outcome(reader, run.directory)
    reader.close()
    assert outcome is not None
    return "\n".join(line.plain for line in summary_lines(outcome))


def finished(run: ScriptedRun) -> ScriptedRun:
    """A run with a bit of everything."""
    run.begin()
    run.train(100, terms={"cross_entropy": 0.5, "dice": math.nan})
    run.validate(0.45)
    run.note(e.LrScaled(5e-6, 2.5e-6, 0.5), status=Status.CLAMPED, reason="at most x10", actor="cli:ann")
    run.note(e.NoteAdded("[red]\x1b[2J"), status=Status.APPLIED, actor="cli:ann")
    run.note(e.StepSkipped(("dice",), (), ("a.jpg#1",), "loss dice not finite"))
    run.note(e.AlertRaised("non-finite step", "loss dice", "lower the learning rate"))
    run.note(e.SampleRejected("b.jpg", "truncated"))
    run.observe(clamp_hits=7)
    run.train(200, terms={"cross_entropy": 0.5, "dice": math.nan})
    run.validate(0.40)
    run.note(e.CheckpointSaved("step-00000200.pt", "final", 1.0, 0.4, True))
    run.note(e.RunFinished("stopped", 125.0))
    return run


def test_it_tells_the_end_the_result_and_the_troubles(run: ScriptedRun) -> None:
    said = summary(finished(run))

    for piece in (
        "calm: stopped after 2 min 05 s",
        "200 of 1000 steps, in epoch 3, phase 1 stable, lr 2.50e-06, on cpu",
        "mIoU 0.4, best 0.4500 at step 100",
        "steps skipped because they were not finite: 1 (at step 100)",
        "losses clamped: 7 times",
        "files that could not be used: 1",
        "alerts: 1",
        "1  step 100  step 100 was not finite",
    ):
        assert piece in said


def test_every_term_stands_beside_its_chance_level_and_weight(run: ScriptedRun) -> None:
    rows = [line.split() for line in summary(finished(run)).splitlines()]

    assert ["loss", "term", "last", "chance", "weight"] in rows
    assert ["cross_entropy", "0.5", "1.099", "1"] in rows
    assert ["dice", "NaN", "0.6667", "0.5"] in rows


def test_interventions_are_listed_with_who_and_how(run: ScriptedRun) -> None:
    said = summary(finished(run))

    assert "interventions: 2" in said
    assert "step 100  cli:ann: learning rate 5.00e-06 -> 2.50e-06 [clamped] (at most x10)" in said
    assert "step 100  cli:ann: note: [red]\\x1b[2J" in said


def test_long_lists_keep_the_newest_and_say_how_many_there_were(run: ScriptedRun) -> None:
    run.begin()
    for number in range(30):
        run.journal.record_event(number, e.NoteAdded(f"note {number}"), status=Status.APPLIED, actor="cli:ann")
    assert run.journal.flush()
    said = summary(run)

    assert "interventions: 30" in said and "10 earlier ones" in said
    assert "note 29" in said and "note 9\n" not in said


def test_it_says_how_to_go_on(run: ScriptedRun) -> None:
    said = summary(finished(run))

    assert f"last checkpoint: {run.directory}/checkpoints/step-00000200.pt" in said
    assert f"to go on: python main.py --resume calm --runs-dir {run.directory.parent}" in said
    assert "give more" not in said


def test_a_complete_run_goes_on_with_more_epochs(run: ScriptedRun) -> None:
    run.begin()
    run.train(1000)
    run.note(e.CheckpointSaved("step-00001000.pt", "final", 1.0, 0.4, True))
    run.note(e.RunFinished("complete", 1.0))

    assert "(give more --epochs or --max-steps)" in summary(run)


def test_a_run_without_a_checkpoint_cannot_go_on(run: ScriptedRun) -> None:
    run.begin()
    run.note(e.RunFailed("RuntimeError: \x1b[31mboom"))
    said = summary(run)

    assert "calm: failed: RuntimeError: \\x1b[31mboom" in said
    assert "no checkpoint was written" in said
    assert "no best mIoU yet" in said


def test_the_reason_cannot_act_on_the_terminal(run: ScriptedRun) -> None:
    run.begin()
    run.note(e.RunFinished("\x1b[2Jstopped", 5.0))

    assert "calm: \\x1b[2Jstopped after 5 s" in summary(run)


def test_the_title_of_a_score_cannot_act_on_the_terminal(run: ScriptedRun) -> None:
    with closing(JournalReader(finished(run).directory)) as reader:
        outcome = read_outcome(reader, run.directory)
    assert outcome is not None
    spec = replace(outcome.state.spec, metrics=(Metric("miou", "mIoU\x1b[2J\n"),))
    lines = [line.plain for line in summary_lines(replace(outcome, state=replace(outcome.state, spec=spec)))]
    assert any("mIoU\\x1b[2J\\n 0.4, best" in line for line in lines)


def test_a_run_that_was_cut_off_says_so(run: ScriptedRun) -> None:
    run.begin()

    assert "calm: left while running" in summary(run)


@pytest.mark.parametrize(
    ("directory", "command"),
    [
        ("runs/calm", "python main.py --resume calm"),
        ("/data/my runs/it's", "python main.py --resume 'it'\"'\"'s' --runs-dir '/data/my runs'"),
    ],
)
def test_the_command_to_go_on_can_be_pasted(directory: str, command: str) -> None:
    assert resume_command(Path(directory)) == command


def test_the_curves_are_loss_miou_and_gradient_norm(run: ScriptedRun) -> None:
    finished(run)
    reader = JournalReader(run.directory)
    outcome = read_outcome(reader, run.directory)
    assert outcome is not None
    lines = [line.plain for line in curves_text(reader, outcome.entries, width=60, ascii_only=False)]
    reader.close()

    titles = [line.split()[0] for line in lines if "last" in line]
    assert titles == ["loss/total", "val/miou", "grad_norm/total"]
    assert all(len(line) <= 60 for line in lines)


def test_a_small_score_is_not_shown_as_zero(run: ScriptedRun) -> None:
    run.begin()
    run.train(200)
    run.validate(1.5e-5)
    assert "mIoU 1.5e-05, best 1.5e-05 at step 200" in summary(run)
