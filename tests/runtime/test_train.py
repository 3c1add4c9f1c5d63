"""Whole runs in this process: their files, steering, stopping, resuming and failing."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import torch

import engine.protocol.state
import engine.tasks.person.losses.terms
import engine.training.step
from engine.config.load import read_resolved
from engine.errors import UserError
from engine.journal.disk.run_dir import CHECKPOINTS, CONFIG_FILE, CONSOLE_LOG, TENSORBOARD
from engine.journal.reader import Entry, JournalReader
from engine.journal.sender import await_outcome, send
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.events import Activity, Status
from engine.protocol.words.script import ScriptedCommand
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.loop import Loop
from engine.runtime.start.bootstrap import RunRequest
from engine.runtime.train import train
from engine.tasks.person.config import PersonConfig
from engine.tasks.person.spec import LOSS_TERMS
from engine.training.checkpoint.file import list_checkpoints, load_checkpoint
from tests.small import small_config

LONG = {"training": {"epochs": 500}}


def _request(directory: Path, config: PersonConfig | None = None, **more: object) -> RunRequest:
    directory.mkdir(exist_ok=True)
    return RunRequest(directory, config or small_config(), device="cpu", **more)


def _series(directory: Path, name: str) -> dict[int, float]:
    with closing(JournalReader(directory)) as reader:
        series = reader.series((name,))
    there = series.present[name]
    return dict(zip(series.steps[there].tolist(), series.values[name][there].tolist(), strict=True))


def _events(directory: Path, *kinds: type) -> list[Entry]:
    with closing(JournalReader(directory)) as reader:
        return [entry for entry in reader.events() if not kinds or isinstance(entry.event, kinds)]


def _weights(directory: Path) -> Mapping[str, torch.Tensor]:
    return load_checkpoint(list_checkpoints(directory / CHECKPOINTS)[-1])["model"]


def _mean_losses(directory: Path) -> list[float]:
    return [entry.event.mean_loss for entry in _events(directory, e.EpochCompleted)]  # type: ignore[union-attr]


def _same_weights(left: Path, right: Path) -> bool:
    mine, theirs = _weights(left), _weights(right)
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the small configuration with every loss term on, complete."""
    directory = tmp_path_factory.mktemp("runs") / "finished"
    on = (
        "boundary_refinement",
        "boundary_aware_loss",
        "active_contour_loss",
        "contour_detection",
        "distance_transform",
    )
    config = small_config(model={"refinements": dict.fromkeys(on, True)})
    assert train(_request(directory, config), Interrupt()) == 0
    return directory


def test_every_step_is_journalled_with_every_measure(finished: Path) -> None:
    with closing(JournalReader(finished)) as reader:
        names, state = set(reader.metric_names()), reader.state()
    assert state is not None and state.activity is Activity.FINISHED
    expected = {"loss/total", "grad_norm/total", "lr", "samples_per_second", "data_wait", "skipped"}
    expected |= {f"{kind}/{term}" for term in LOSS_TERMS for kind in ("loss", "loss_raw", "val/loss")}
    expected |= {"clamp_hits/boundary_aware", "clamp_hits/distance", "weight_norm/extractor", "grad_norm/gate"}
    expected |= {"val/loss", "val/miou", "val/iou_background", "val/iou_target", "val/iou_other", "val/boundary_f"}
    expected |= {"val/miou_seed", "val/target_iou"}
    assert expected <= names
    assert list(_series(finished, "loss/total")) == list(range(1, state.total_steps + 1))


def test_the_learning_rate_in_the_journal_is_that_of_the_schedule(finished: Path) -> None:
    rates = list(_series(finished, "lr").values())
    assert 0 < rates[0] <= max(rates) <= 1e-3
    assert rates[-1] == pytest.approx(1e-8, rel=1e-3)


def test_chance_levels_of_every_term_are_journalled(finished: Path) -> None:
    with closing(JournalReader(finished)) as reader:
        chance = reader.meta("chance_levels")
    assert isinstance(chance, dict) and set(chance) == set(LOSS_TERMS)
    assert all(isinstance(level, float) and level > 0 for level in chance.values())


def test_the_directory_holds_all_that_a_resume_needs(finished: Path) -> None:
    assert read_resolved(finished / CONFIG_FILE).model.roi_size == 16
    assert any((finished / TENSORBOARD).iterdir())
    assert (finished / CHECKPOINTS / "best.pt").exists()


def test_the_epoch_that_is_shown_is_that_of_the_last_step(finished: Path) -> None:
    assert _final_state(finished).epoch == 1, "two epochs, the first is 0"


def test_the_end_is_the_last_event_and_validations_precede_it(finished: Path) -> None:
    entries = _events(finished)
    assert isinstance(entries[0].event, e.RunStarted)
    assert isinstance(entries[-1].event, e.RunFinished)
    assert len(_events(finished, e.ValidationCompleted)) == 2


def test_a_finished_run_is_not_resumed_by_accident(finished: Path) -> None:
    config = read_resolved(finished / CONFIG_FILE)
    with pytest.raises(UserError, match="has done its 2 epochs"):
        train(_request(finished, config, resume=True), Interrupt())
    with closing(JournalReader(finished)) as reader:
        state = reader.state()
    assert state is not None and state.activity is Activity.FINISHED


def test_two_runs_from_one_seed_are_bit_identical(finished: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    assert train(_request(again, read_resolved(finished / CONFIG_FILE)), Interrupt()) == 0
    assert _series(again, "loss/total") == _series(finished, "loss/total")
    assert _series(again, "val/miou") == _series(finished, "val/miou")
    assert _same_weights(again, finished)


# --- stop and resume --------------------------------------------------------------------


def _interrupted(directory: Path, config: PersonConfig, after: int) -> None:
    script = (ScriptedCommand(after, c.Stop(), 1),)
    assert train(_request(directory, config, script=script), Interrupt()) == 0


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_stopped_run_goes_on_as_if_it_had_never_stopped(finished: Path, tmp_path: Path, after: int) -> None:
    directory, config = tmp_path / "stopped", read_resolved(finished / CONFIG_FILE)
    _interrupted(directory, config, after)
    assert max(_series(directory, "loss/total")) == after
    assert train(_request(directory, config, resume=True), Interrupt()) == 0
    assert all(entry.event.good for entry in _events(directory, e.CheckpointSaved))  # type: ignore[union-attr]
    for name in ("loss/total", "grad_norm/total", "lr", "val/loss", "val/miou"):
        assert _series(directory, name) == _series(finished, name), name
    assert _mean_losses(directory) == _mean_losses(finished)
    assert _same_weights(directory, finished)


def test_a_damaged_newest_checkpoint_is_passed_over_and_named(finished: Path, tmp_path: Path) -> None:
    directory, config = tmp_path / "damaged", read_resolved(finished / CONFIG_FILE)
    _interrupted(directory, config, 3)
    newest = list_checkpoints(directory / CHECKPOINTS)[-1]
    newest.write_bytes(newest.read_bytes()[:-50])
    assert train(_request(directory, config, resume=True), Interrupt()) == 0
    (damaged,) = _events(directory, e.CheckpointDamaged)
    assert damaged.event.path == newest.name  # type: ignore[union-attr]
    assert _series(directory, "loss/total") == _series(finished, "loss/total")


def test_a_signal_ends_the_run_with_a_checkpoint_and_its_exit_code(tmp_path: Path) -> None:
    with _running(tmp_path / "signalled") as run:
        run.interrupt.signal = 15
    assert run.code == 143
    (final,) = (x for x in _events(run.directory, e.CheckpointSaved) if x.event.kind == "final")  # type: ignore[union-attr]
    assert isinstance(_events(run.directory)[-1].event, e.RunFinished)
    assert final.step == max(_series(run.directory, "loss/total"))


def test_a_resumed_run_knows_which_checkpoint_it_came_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert train(_request(tmp_path / "run"), Interrupt()) == 0
    newest = list_checkpoints(tmp_path / "run" / CHECKPOINTS)[-1].name
    turn, seen = Loop.turn, list[str]()

    def watched_turn(loop: Loop) -> str:
        seen.append(loop._recorder.state.last_checkpoint)
        return turn(loop)

    monkeypatch.setattr(Loop, "turn", watched_turn)
    assert train(_request(tmp_path / "run", small_config(training={"epochs": 3}), resume=True), Interrupt()) == 0
    assert seen[0] == newest


def test_more_epochs_go_on_from_a_finished_run_and_the_rate_decays_to_the_new_end(tmp_path: Path) -> None:
    directory = tmp_path / "longer"
    assert train(_request(directory), Interrupt()) == 0
    longer = small_config(training={"epochs": 4})
    assert train(_request(directory, longer, resume=True), Interrupt()) == 0
    rates = list(_series(directory, "lr").values())[4:]
    assert rates == sorted(rates, reverse=True) and len(rates) == len(_series(directory, "lr")) - 4


def test_what_is_overridden_at_a_resume_wins_over_the_checkpoint(tmp_path: Path) -> None:
    directory = tmp_path / "overridden"
    _interrupted(directory, small_config(), 2)
    changed = small_config(
        training={"gradient_clip": 0.25, "optimizer": "adam", "learning_rate": 1e-5},
        loss={"weights": {"dice": 2.0}},
        model={"refinements": {"boundary_refinement": True, "boundary_aware_loss": True, "contour_detection": True}},
    )
    assert train(_request(directory, changed, resume=True), Interrupt()) == 0
    with closing(JournalReader(directory)) as reader:
        state = reader.state()
    assert state is not None
    assert (state.gradient_clip, state.optimizer, state.loss_weights["dice"]) == (0.25, "adam", 2.0)
    assert "contour_detection" in state.refinements
    assert max(rate for step, rate in _series(directory, "lr").items() if step > 2) <= 1e-5


def test_steering_that_a_crash_left_behind_the_checkpoint_is_done_again(finished: Path, tmp_path: Path) -> None:
    config = small_config(training={"epochs": 4})
    script = (ScriptedCommand(5, c.SetLr(1e-4), 1), ScriptedCommand(5, c.EnableRefinement("contour_detection"), 2))
    whole, crashed = tmp_path / "whole", tmp_path / "crashed"
    assert train(_request(whole, config, script=script), Interrupt()) == 0
    assert train(_request(crashed, config, script=(*script, ScriptedCommand(6, c.Stop(), 3))), Interrupt()) == 0
    for path in list_checkpoints(crashed / CHECKPOINTS)[-2:]:
        if path.name > "step-00000004.pt":
            path.unlink()
    assert train(_request(crashed, config, resume=True), Interrupt()) == 0
    for name in ("loss/total", "loss/contour", "lr"):
        assert _series(crashed, name) == _series(whole, name), name


# --- weights from elsewhere -------------------------------------------------------------


def test_weights_of_a_base_run_are_inherited_and_what_did_not_fit_is_listed(finished: Path, tmp_path: Path) -> None:
    config = small_config(model={"auxiliary_width": 8})
    best = str(finished / CHECKPOINTS / "best.pt")
    assert train(_request(tmp_path / "heir", config, init_from=best), Interrupt()) == 0
    (entry,) = _events(tmp_path / "heir", e.WeightsInherited)
    assert isinstance(entry.event, e.WeightsInherited)
    assert entry.event.num_loaded > 50
    assert entry.event.missing and all(name.startswith("auxiliary") for name in entry.event.missing)
    assert entry.event.unexpected == entry.event.missing


@pytest.mark.parametrize("content", [None, b"", b"not a checkpoint"])
def test_a_useless_init_from_is_the_users_mistake(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "weights.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match="--init-from"):
        train(_request(tmp_path / "run", init_from=str(path)), Interrupt())


# --- steering ---------------------------------------------------------------------------


class _Run:
    """A run in its own thread, steered through its journal as by another process."""

    def __init__(self, directory: Path, config: PersonConfig):
        self.directory = directory
        self.interrupt = Interrupt()
        self.code = -1
        self._request = _request(directory, config)
        self.thread = threading.Thread(target=self._train)

    def _train(self) -> None:
        self.code = train(self._request, self.interrupt)

    def wait_for(self, ready: Callable[[JournalReader], bool]) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with suppress(UserError), closing(JournalReader(self.directory)) as reader:  # not there yet
                if ready(reader):
                    return
            time.sleep(0.02)
        raise AssertionError("the run did not get there in time")

    def ask(self, command: c.Command) -> Entry:
        number = send(self.directory, command, "test")
        entry = await_outcome(self.directory, number, timeout=30)
        assert entry is not None, f"{command} got no outcome"
        return entry


def _has_stepped(reader: JournalReader) -> bool:
    state = reader.state()
    return state is not None and state.step >= 2


@contextmanager
def _running(directory: Path, **overrides: Mapping[str, object]) -> Iterator[_Run]:
    run = _Run(directory, small_config(**{**LONG, **overrides}))
    run.thread.start()
    try:
        run.wait_for(_has_stepped)
        yield run
    finally:
        run.interrupt.signal = run.interrupt.signal or 2
        run.thread.join(60)
    assert not run.thread.is_alive()


def test_every_command_ends_with_one_outcome_that_says_before_after_and_why(tmp_path: Path) -> None:
    with _running(tmp_path / "steered") as run:
        slower = run.ask(c.ScaleLr(0.5))
        assert slower.status is Status.APPLIED and isinstance(slower.event, e.LrScaled)
        assert slower.event.after == pytest.approx(0.5 * slower.event.before) and slower.step >= 2
        assert run.ask(c.SetLr(1e-6)).status is Status.APPLIED
        faster = run.ask(c.ScaleLr(1000))
        assert faster.status is Status.CLAMPED and "x10" in faster.reason
        assert run.ask(c.SetLossWeight("dice", 0.25)).event == e.LossWeightSet("dice", 0.5, 0.25)
        assert run.ask(c.SetGradientClip(0.5)).event == e.GradientClipSet(1.0, 0.5)
        assert run.ask(c.SetAccumulation(2)).event == e.AccumulationSet(1, 2)
        assert run.ask(c.SetBatchSize(2)).event == e.BatchSizeSet(4, 2)
        assert run.ask(c.SetOptimizer("adam")).event == e.OptimizerSet("adamw", "adam")
        assert run.ask(c.EnableRefinement("subpixel_conv")).status is Status.APPLIED
        rival = run.ask(c.EnableRefinement("progressive_upsampling"))
        assert rival.status is Status.REFUSED and "exclude" in rival.reason
        assert isinstance(run.ask(c.PromotePhase(force=True)).event, e.PhasePromoted)
        assert isinstance(run.ask(c.DemotePhase()).event, e.PhaseDemoted)
        assert isinstance(run.ask(c.Validate()).event, e.ValidationCompleted)
        assert isinstance(run.ask(c.AddNote("seen")).event, e.NoteAdded)
        saved = run.ask(c.SaveCheckpoint())
        assert isinstance(saved.event, e.CheckpointSaved) and saved.event.kind == "asked"
        back = run.ask(c.Rollback(saved.event.path))
        assert isinstance(back.event, e.RolledBack) and back.event.after == saved.step
        assert run.ask(c.Rollback("step-99999999.pt")).status is Status.REFUSED
        run.wait_for(lambda reader: (reader.state() or _NONE).step > back.event.after + 1)  # type: ignore[union-attr]
    assert run.code == 130
    state = _final_state(run.directory)
    assert state.gradient_clip == 0.5 and state.batch_size == 2, "a rollback keeps what was steered"
    steps = list(_series(run.directory, "loss/total"))
    assert steps == list(range(1, len(steps) + 1)), "one lineage, without gap or double"


def _final_state(directory: Path) -> engine.protocol.state.RunState:
    with closing(JournalReader(directory)) as reader:
        state = reader.state()
    assert state is not None
    return state


_NONE = engine.protocol.state.RunState(run="")


def test_a_paused_run_stands_still_and_obeys_and_goes_on_for_exactly_the_steps_granted(tmp_path: Path) -> None:
    with _running(tmp_path / "paused") as run:
        paused = run.ask(c.Pause())
        time.sleep(0.2)
        assert _final_state(run.directory).step == paused.step
        assert run.ask(c.SetGradientClip(0.125)).step == paused.step, "commands take effect while paused"
        assert run.ask(c.Pause()).status is Status.REFUSED
        granted = run.ask(c.RunSteps(3))
        run.wait_for(lambda reader: (reader.state() or _NONE).activity is Activity.PAUSED)
        assert _final_state(run.directory).step == granted.step + 3
        assert isinstance(run.ask(c.Resume()).event, e.Resumed)
        run.wait_for(lambda reader: (reader.state() or _NONE).step > granted.step + 5)


def test_a_stop_command_ends_the_run_with_code_zero(tmp_path: Path) -> None:
    with _running(tmp_path / "stopped") as run:
        stopped = run.ask(c.Stop("enough"))
        run.thread.join(30)
    assert run.code == 0
    assert isinstance(stopped.event, e.StopRequested) and stopped.event.reason == "enough"
    assert _final_state(run.directory).activity is Activity.FINISHED


def test_a_second_process_on_the_same_run_is_refused(tmp_path: Path) -> None:
    with _running(tmp_path / "taken") as run, pytest.raises(UserError, match="in use by process"):
        train(_request(run.directory, resume=True), Interrupt())


# --- faults -----------------------------------------------------------------------------


def _poison(monkeypatch: pytest.MonkeyPatch, term: str, steps: range) -> None:
    """Make the loss term NaN at the given steps (from 1), counted over training batches."""
    real, count = engine.tasks.person.losses.terms.term_values, [0]

    def poisoned(*args: object) -> dict[str, torch.Tensor]:
        values = real(*args)  # type: ignore[arg-type]
        count[0] += torch.is_grad_enabled()  # a validation has no gradient
        if torch.is_grad_enabled() and count[0] in steps:
            values[term] = values[term] * math.nan
        return values

    monkeypatch.setattr(engine.tasks.person.losses.terms, "term_values", poisoned)


def test_a_non_finite_step_is_skipped_named_and_trained_past(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _poison(monkeypatch, "boundary_aware", range(2, 3))
    directory = tmp_path / "poisoned"
    assert train(_request(directory), Interrupt()) == 0
    (skip,) = _events(directory, e.StepSkipped)
    assert isinstance(skip.event, e.StepSkipped)
    assert skip.event.terms == ("boundary_aware",) and "boundary_aware" in skip.event.reason and skip.step == 2
    assert len(skip.event.sample_ids) > 0
    alerts = [alert.event for alert in _events(directory, e.AlertRaised)]
    assert [alert.kind for alert in alerts if isinstance(alert, e.AlertRaised)] == ["non-finite step", "fault"]
    losses, skipped = _series(directory, "loss/total"), _series(directory, "skipped")
    assert math.isnan(losses[2]) and np.isfinite([losses[1], losses[3], losses[4]]).all()
    assert skipped == {1: 0.0, 2: 1.0, 3: 0.0, 4: 0.0}
    assert _final_state(directory).skipped_steps == 1


def test_a_run_that_no_longer_moves_gives_up_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _poison(monkeypatch, "dice", range(3, 1000))
    directory = tmp_path / "rotten"
    config = small_config(guard={"max_skipped_in_a_row": 5}, **LONG)
    assert train(_request(directory, config), Interrupt()) == 1
    (failed,) = _events(directory, e.RunFailed)
    assert isinstance(failed.event, e.RunFailed)
    assert "5 steps in a row" in failed.event.error and "dice" in failed.event.error
    assert _final_state(directory).step == 7


def test_a_fault_of_the_program_leaves_its_traceback_and_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(engine.training.step.TrainStep, "_update", broken)
    directory = tmp_path / "broken"
    assert train(_request(directory), Interrupt()) == 1
    assert "Traceback" in (directory / CONSOLE_LOG).read_text()
    assert _final_state(directory).activity is Activity.FAILED
    assert _events(directory, e.RunFailed)


def test_data_that_is_not_there_is_the_users_mistake_before_training(tmp_path: Path) -> None:
    config = small_config(data={"path": str(tmp_path / "nowhere")})
    with pytest.raises(UserError, match="nowhere"):
        train(_request(tmp_path / "run", config), Interrupt())
