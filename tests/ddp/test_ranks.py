"""Several ranks train as one process does, and every command takes effect on all of them at the same step."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from engine.journal.sender import send
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.events import Activity, Status
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.start.bootstrap import RunRequest
from engine.runtime.train import train
from tests.adapters.remote import Remote
from tests.ddp.ranks import entries, script, series, steering, tiny_config, train_together

SCRIPT = script(
    "0: validate",
    "2: promote --force",
    "4: set-batch-size 7",
    "5: set-optimizer adam",
    "6: checkpoint",
    "7: lower-lr 0.5",
    "8: set-accumulation 2",
    "9: exclude 3",
    "9: rollback step-00000006.pt",
    "9: disable extra",
    "10: enable extra",
    "11: set-batch-size 4",
)
CURVES = ("loss/total", "loss/error", "grad_norm/total", "lr", "weight_norm/body")


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_train_as_one_process_does_and_take_every_command_at_the_same_step(tmp_path: Path, world: int) -> None:
    config = tiny_config()
    alone, together = tmp_path / "alone", tmp_path / "together"
    alone.mkdir()
    together.mkdir()
    assert train(RunRequest(alone, config, device="cpu", script=SCRIPT), Interrupt()) == 0
    ended = train_together(world, RunRequest(together, config, device="cpu", script=SCRIPT))
    assert ended.codes == (0,) * world, ended.said
    assert all(found == ended.prints[0] for found in ended.prints), "the ranks differ"
    assert steering(together) == steering(alone)
    expected, found = series(alone, *CURVES), series(together, *CURVES)
    assert found["step"] == expected["step"]
    for name in CURVES:
        np.testing.assert_allclose(found[name], expected[name], rtol=2e-5, err_msg=name)
    names = [f"ranks/{rank}/{what}" for rank in range(world) for what in ("step_seconds", "data_wait")]
    times = series(together, *names)
    assert all(0 <= value < 60 for name in names for value in times[name])
    first, *_ = [x.event for x in entries(together) if isinstance(x.event, e.ValidationCompleted)]
    usual, *_ = [x.event for x in entries(alone) if isinstance(x.event, e.ValidationCompleted)]
    assert (first.loss, first.metrics) == (usual.loss, usual.metrics), "a validation has other bits"


def test_random_commands_at_random_moments_end_without_a_deadlock_and_with_equal_ranks(tmp_path: Path) -> None:
    config = tiny_config(training={"epochs": 100_000}, validation={"every_epochs": 50}, checkpoint={"every_steps": 0})
    run = tmp_path / "run"
    run.mkdir()
    ended = train_together(2, RunRequest(run, config, device="cpu"), meanwhile=_send_50)
    assert ended.codes == (0, 0), ended.said
    assert ended.prints[0] == ended.prints[1], "the ranks differ"
    answers = [entry for entry in entries(run) if entry.actor == "test"]
    assert len(answers) == 51
    assert sum(entry.status is Status.REFUSED for entry in answers) < 25


def _send_50(remote: Remote, processes: object) -> None:
    draw = random.Random(7)
    kinds = (
        c.Pause(),
        c.Resume(),
        c.RunSteps(3),
        c.ScaleLr(0.9),
        c.PromotePhase(force=True),
        c.DemotePhase(),
        c.SetBatchSize(6),
        c.SetBatchSize(3),
        c.SetOptimizer("adam"),
        c.SetOptimizer("adamw"),
        c.SaveCheckpoint(),
        c.Rollback(),
        c.Validate(),
        c.SetAccumulation(2),
        c.SetAccumulation(1),
        c.ExcludeSamples(("4",)),
        c.SetAutopilot(True),
        c.SetAutopilot(False),
        c.AddNote("a note that needs a second message " * 400),
    )
    remote.await_state(lambda state: state.step >= 3)
    for _ in range(50):
        send(remote.directory, draw.choice(kinds), "test")
        time.sleep(draw.random() * 0.04)
    remote.send(c.Stop())


def test_a_pause_holds_all_ranks_longer_than_their_time_limit(tmp_path: Path) -> None:
    config = tiny_config(training={"epochs": 100_000}, distributed={"timeout_seconds": 2.0})
    run = tmp_path / "run"
    run.mkdir()

    def meanwhile(remote: Remote, processes: object) -> None:
        remote.await_state(lambda state: state.step >= 3)
        remote.send(c.Pause())
        at = remote.await_pause()
        time.sleep(3)
        remote.send(c.RunSteps(2))
        remote.await_state(lambda state: state.step == at + 2 and state.activity is Activity.PAUSED)
        processes[1].terminate()  # a signal to any rank stops all

    ended = train_together(2, RunRequest(run, config, device="cpu"), meanwhile=meanwhile)
    assert ended.codes == (128 + signal.SIGTERM, 0), ended.said
    assert ended.prints[0] == ended.prints[1], "the ranks differ"


@pytest.mark.parametrize(("ranks", "where"), [("1", "backward"), ("0 1", "forward")])
def test_memory_that_runs_out_on_one_rank_halves_the_batch_of_all_at_the_same_step(
    tmp_path: Path, ranks: str, where: str
) -> None:
    """The curves are those of a training with accumulation from the start."""
    config = tiny_config("Hungry", training={"batch_size": 8, "epochs": 2, "max_steps": 5})
    alone, together = tmp_path / "alone", tmp_path / "together"
    alone.mkdir()
    together.mkdir()
    usual = tiny_config(training={"batch_size": 4, "accumulation": 2, "epochs": 2, "max_steps": 5})
    assert train(RunRequest(alone, usual, device="cpu"), Interrupt()) == 0
    request = RunRequest(together, config, device="cpu")
    ended = train_together(2, request, environment={"HUNGRY": ranks, "HUNGER": where})
    assert ended.codes == (0, 0), ended.said
    assert ended.prints[0] == ended.prints[1], "the ranks differ"
    found = entries(together)
    alerts = [(entry.step, entry.event.message) for entry in found if isinstance(entry.event, e.AlertRaised)]
    said = f"out of memory at step 1 in {where} on rank {ranks[0]} (20.00 GiB asked): batch size 8 -> 4, accumulation"
    assert len(alerts) == 1 and alerts[0][0] == 0 and alerts[0][1].startswith(f"{said} 1 -> 2")
    assert [type(entry.event) for entry in found if entry.actor == "guardian"] == [e.BatchSizeSet, e.AccumulationSet]
    names = ("loss/total", "loss/error", "grad_norm/total", "lr")
    expected, curves = series(alone, *names), series(together, *names)
    assert curves["step"] == expected["step"]
    for name in names:
        np.testing.assert_allclose(curves[name], expected[name], rtol=2e-5, err_msg=name)


@pytest.mark.parametrize(
    ("ranks", "where", "step", "said"),
    [
        ("1", "update", 3, "at step 3 in optimizer on rank 1"),
        ("0", "update", 4, "at step 4 in optimizer on rank 0"),
        ("1", "update", 4, "at step 5 in optimizer on rank 1, in the step before"),
        ("1", "data", 0, "while its data were prepared on rank 1"),
        ("0", "data", 0, "while its data were prepared on rank 0"),
    ],
)
def test_memory_that_runs_out_in_an_update_or_in_data_is_survived_by_all_ranks(
    tmp_path: Path, ranks: str, where: str, step: int, said: str
) -> None:
    """The others have done the update of the rank in which it broke off: all go back to the same checkpoint."""
    config = tiny_config(
        "Hungry", training={"batch_size": 8, "epochs": 4, "max_steps": 6}, checkpoint={"every_steps": 2}
    )
    run = tmp_path / "run"
    run.mkdir()
    request = RunRequest(run, config, device="cpu")
    ended = train_together(2, request, environment={"HUNGRY": ranks, "HUNGER": where, "HUNGRY_STEP": str(step)})
    assert ended.codes == (0, 0), ended.said
    assert ended.prints[0] == ended.prints[1], "the ranks differ"
    assert ended.prints[0]["step"] == "6"
    found = entries(run)
    alerts = [entry.event for entry in found if isinstance(entry.event, e.AlertRaised)]
    (alert,) = [alert.message for alert in alerts if alert.kind == "out of memory"]
    assert said in alert and "batch size 8 -> 4, accumulation 1 -> 2" in alert
    rolled = [entry.event for entry in found if isinstance(entry.event, e.RolledBack)]
    assert len(rolled) == (where == "update")


def test_memory_for_not_even_one_sample_of_each_rank_ends_the_run_with_one_sentence(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    request = RunRequest(run, tiny_config("Hungry", training={"batch_size": 4}), device="cpu")
    ended = train_together(2, request, environment={"HUNGRY": "1", "HUNGER": "forward", "FITS": "0"})
    assert ended.codes[0] == 2 and ended.codes[1]
    assert "not enough for a training step of one sample (20.00 GiB more were asked for)" in ended.said[0]
    alerts = [entry.event for entry in entries(run) if isinstance(entry.event, e.AlertRaised)]
    assert [alert.kind for alert in alerts] == ["out of memory"]
