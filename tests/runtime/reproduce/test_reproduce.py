"""Runs reproduced from their journals: bit-identical results, and reports of differences."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import main
from engine.errors import UserError
from engine.journal.disk.run_dir import CHECKPOINTS
from engine.journal.reader import Entry, JournalReader
from engine.outputs.reproduction_report import ReproductionReport, ReproductionRequest, report_lines
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.events import Event, Status
from engine.protocol.words.script import ScriptedCommand
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.reproduce.recorded_action import RecordedAction
from engine.runtime.reproduce.reproduce import kernels_note, reproduce
from engine.runtime.reproduce.timeline import Conditions, segments_of
from engine.tasks.person.config import PersonConfig
from engine.training.checkpoint.file import list_checkpoints
from tests.faulty import entries, long_config, poison, recovery, run
from tests.small import small_config

STEERED = (
    ScriptedCommand(2, c.SetBatchSize(2), 1),
    ScriptedCommand(4, c.SetLr(5e-4), 2),
    ScriptedCommand(5, c.SaveCheckpoint(), 3),
    ScriptedCommand(6, c.EnableRefinement("contour_detection"), 4),
    ScriptedCommand(7, c.Validate(), 5),
    ScriptedCommand(8, c.Rollback("5"), 6),
    ScriptedCommand(9, c.PromotePhase(force=True), 7),
    ScriptedCommand(10, c.SetOptimizer("adam"), 8),
    ScriptedCommand(11, c.Pause(), 9),
    ScriptedCommand(11, c.Resume(), 10),
    ScriptedCommand(12, c.SetAccumulation(2), 11),
    ScriptedCommand(13, c.SetLossWeight("dice", 0.25), 12),
)
SHORT = {"training": {"epochs": 6, "warmup_epochs": 0.5}}


def drive(directory: Path, name: str = "again") -> ReproductionReport:
    return reproduce(ReproductionRequest(directory, directory.parent, name), Interrupt())


def assert_identical(report: ReproductionReport, *, redone: int) -> None:
    assert report.difference is None and report.tensor == "" and report.notes == ()
    assert report.identical and report.num_redone == redone
    assert report.checkpoint and report.num_steps > 5 and report.num_metrics > 20


def test_a_steered_run_is_driven_again_to_the_last_bit(tmp_path: Path) -> None:
    config = long_config(**SHORT, validation={"every_epochs": 1}, checkpoint={"every_epochs": 1})
    assert run(tmp_path / "run", config, script=STEERED) == 0
    assert_identical(drive(tmp_path / "run"), redone=10)
    mine = [entry.event for entry in entries(tmp_path / "run", e.RolledBack, e.PhasePromoted, e.LrSet)]
    assert [entry.event for entry in entries(tmp_path / "again", e.RolledBack, e.PhasePromoted, e.LrSet)] == mine
    assert {entry.actor for entry in entries(tmp_path / "again", e.LrSet)} == {"script"}


@pytest.mark.parametrize("at", [7, pytest.param(9, marks=pytest.mark.slow)])
def test_a_run_that_was_stopped_ends_where_it_did(tmp_path: Path, at: int) -> None:
    script = (ScriptedCommand(3, c.ScaleLr(0.5), 1), ScriptedCommand(at, c.Stop(), 2))
    assert run(tmp_path / "run", long_config(**SHORT), script=script) == 0
    assert_identical(drive(tmp_path / "run"), redone=2)


@pytest.mark.slow
def test_a_run_that_was_cut_off_and_resumed_is_one_line(tmp_path: Path) -> None:
    directory, config = tmp_path / "run", long_config(**SHORT, checkpoint={"keep_last": 6})
    script = (
        ScriptedCommand(4, c.SetLr(5e-4), 1),
        ScriptedCommand(8, c.EnableRefinement("contour_detection"), 2),
        ScriptedCommand(9, c.Stop(), 3),
    )
    assert run(directory, config, script=script) == 0
    for path in list_checkpoints(directory / CHECKPOINTS)[-2:]:
        path.unlink()
    assert run(directory, config, resume=True) == 0
    assert_identical(drive(directory), redone=2)


@pytest.mark.slow
def test_a_run_resumed_with_other_options_is_driven_in_stretches(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    assert run(directory, long_config(**SHORT), script=(ScriptedCommand(7, c.Stop(), 1),)) == 0
    longer = long_config(training={"epochs": 9, "warmup_epochs": 0.5, "gradient_clip": 0.25})
    assert run(directory, longer, resume=True, script=(ScriptedCommand(9, c.ScaleLr(0.5), 1),)) == 0
    assert_identical(drive(directory), redone=2)


@pytest.mark.slow
def test_what_the_guardian_did_is_done_again_and_not_decided_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, "dice", lambda plan, batch: plan.step >= 11 and plan.lr > 3e-4)
    config = long_config(training={"epochs": 20, "warmup_epochs": 0.5})
    assert run(tmp_path / "run", recovery(config, lr_factor=0.25)) == 0
    done = [entry.actor for entry in entries(tmp_path / "run", e.RolledBack, e.LrScaled)]
    assert done == ["guardian", "guardian"]
    assert_identical(drive(tmp_path / "run"), redone=2)
    assert len(entries(tmp_path / "again", e.RolledBack)) == 1


@pytest.mark.slow
def test_a_run_that_gave_up_is_driven_to_the_same_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch, "dice", lambda plan, batch: plan.step >= 11)
    assert run(tmp_path / "run", recovery(long_config(), max_rollbacks=1)) == 1
    assert_identical(drive(tmp_path / "run"), redone=2)


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose step 9 was not finite, which it will not be again."""
    directory = tmp_path_factory.mktemp("reproduce") / "run"
    with pytest.MonkeyPatch.context() as patch:
        poison(patch, "dice", lambda plan, batch: plan.step == 8)
        assert run(directory, long_config(**SHORT)) == 0
    return directory


def test_the_first_difference_is_named_with_both_values(poisoned: Path) -> None:
    report = drive(poisoned)
    assert not report.identical and report.difference is not None
    assert (report.difference.step, report.difference.metric) == (9, "loss/total")
    assert report.tensor.startswith("model.")
    said = " ".join(report_lines(report))
    assert "first differs at step 9 in loss/total: recorded nan, redriven" in said and "differs first in model." in said


def test_a_run_of_another_number_of_threads_is_driven_with_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(2)
    assert run(tmp_path / "run", long_config(training={"epochs": 1})) == 0
    torch.set_num_threads(1)
    report = drive(tmp_path / "run")
    assert report.threads == 2 and report.identical, report
    assert torch.get_num_threads() == 1


# --- the command --------------------------------------------------------------------------


def test_the_command_says_that_it_is_identical_and_with_json_all_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "run", long_config(**SHORT)) == 0
    runs_dir = ("--runs-dir", str(tmp_path))
    assert main.main(["redrive", "run", "--run", "first", *runs_dir]) == 0
    assert "metrics are bit-identical" in capsys.readouterr().out
    assert main.main(["redrive", "run", "--json", *runs_dir]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["identical"] is True and found["difference"] is None and "run-redrive-" in found["directory"]


def test_the_command_ends_with_1_for_a_difference_and_2_where_it_cannot(
    poisoned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs_dir = ("--runs-dir", str(poisoned.parent))
    assert main.main(["redrive", "run", *runs_dir]) == 1
    assert main.main(["redrive", "nothing", *runs_dir]) == 2
    assert "there is no run 'nothing'" in capsys.readouterr().err


def test_a_run_without_a_step_cannot_be_driven_again(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        run(tmp_path / "run", long_config(data={"path": str(tmp_path / "nowhere")}))
    with pytest.raises(UserError, match="no steps to reproduce"):
        drive(tmp_path / "run")


# --- lining up ----------------------------------------------------------------------------

FIRST = Conditions("a: 1\n", "cpu", 1, "2")
OTHER = replace(FIRST, config="a: 2\n")
STARTED = e.RunStarted("cpu", 1, 1, 1, 9)
LR = e.LrScaled(1e-3, 5e-4, 0.5)
EPOCH = e.EpochCompleted(0, 1.0, 1.0)


def journal(*rows: tuple[int, Event]) -> list[Entry]:
    return [Entry(n, 0.0, 0, step, "x", None, Status.APPLIED, "", event) for n, (step, event) in enumerate(rows)]


def done(past: tuple[RecordedAction, ...]) -> list[tuple[int, str, bool]]:
    return [(item.step, type(item.event).__name__, item.settled) for item in past]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([(0, STARTED), (3, LR), (5, e.NoteAdded("x"))], [(3, "LrScaled", False), (9, "StopRequested", False)]),
        ([(0, STARTED), (3, EPOCH), (3, LR), (9, e.RunFinished("complete", 1))], [(3, "LrScaled", True)]),
        ([(0, STARTED), (9, EPOCH)], [(9, "StopRequested", True)]),
        ([(0, STARTED), (3, LR), (6, LR), (4, STARTED)], [(3, "LrScaled", False), (9, "StopRequested", False)]),
        ([(0, STARTED), (4, LR), (4, STARTED), (4, LR)], [(4, "LrScaled", False)] * 2 + [(9, "StopRequested", False)]),
        (
            [(0, STARTED), (6, LR), (2, e.RolledBack("a", 8, 2)), (3, LR), (2, STARTED)],
            [(6, "LrScaled", False), (8, "RolledBack", False), (9, "StopRequested", False)],
        ),
        (
            [(0, STARTED), (6, LR), (5, e.RolledBack("a", 8, 5)), (4, STARTED)],
            [(9, "StopRequested", False)],
        ),
        ([(0, STARTED), (5, e.StopRequested("", "running")), (5, STARTED)], [(9, "StopRequested", False)]),
    ],
    ids=["plain", "after an epoch", "cut off after an epoch", "lost", "at the cut", "rolled back", "lost back", "stop"],
)  # fmt: skip
def test_what_counts_of_a_journal_is_lined_up(
    rows: list[tuple[int, Event]], expected: list[tuple[int, str, bool]]
) -> None:
    (segment,) = segments_of(journal(*rows), [FIRST, FIRST], last_step=9)
    assert done(segment.past) == expected


def test_other_conditions_begin_another_stretch() -> None:
    rows = journal((0, STARTED), (3, LR), (7, LR), (5, STARTED), (6, LR))
    first, second = segments_of(rows, [FIRST, OTHER], last_step=9)
    assert (first.conditions, second.conditions) == (FIRST, OTHER)
    assert done(first.past) == [(3, "LrScaled", False), (5, "StopRequested", False)]
    assert done(second.past) == [(6, "LrScaled", False), (9, "StopRequested", False)]


def test_a_stretch_that_left_nothing_behind_is_left_out() -> None:
    rows = journal((0, STARTED), (5, STARTED), (6, LR), (3, STARTED))
    (segment,) = segments_of(rows, [FIRST, OTHER, FIRST], last_step=9)
    assert segment.conditions == FIRST and done(segment.past) == [(9, "StopRequested", False)]


def test_every_session_of_a_run_says_under_which_conditions_it_trained(tmp_path: Path) -> None:
    config: PersonConfig = long_config(**SHORT)
    assert run(tmp_path / "run", config, script=(ScriptedCommand(4, c.Stop(), 1),)) == 0
    assert run(tmp_path / "run", config, resume=True) == 0
    with closing(JournalReader(tmp_path / "run")) as reader:
        sessions = reader.meta("sessions")
    assert isinstance(sessions, list) and len(sessions) == 2 and sessions[0] == sessions[1]


@pytest.mark.parametrize(
    ("device", "deterministic", "is_said"), [("cpu", False, False), ("cuda", False, True), ("cuda", True, False)]
)
def test_a_difference_that_the_kernels_of_a_gpu_make_is_explained(
    device: str, deterministic: bool, is_said: bool
) -> None:
    note = kernels_note(device, small_config(training={"deterministic": deterministic}))
    assert ("training.deterministic" in note) is is_said
