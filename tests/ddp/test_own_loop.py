"""An own loop in two processes: commands, stops, non-finite steps and faults take effect in both at one step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from engine.adapters.hooks.gradients.parameter_names import ParameterNames
from engine.adapters.hooks.optimizer_hooks import OptimizerHooks
from engine.adapters.ranks.own_parts import take_up_position_as
from engine.adapters.run.loop_batches import EpochLoop, LoopBatches
from engine.adapters.run.state.attached_state import AttachedState
from engine.adapters.run.state.generators import random_states
from engine.adapters.steps.loop_numbers import LoopNumbers
from engine.outputs.fault_report import REPRODUCED, VANISHED
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.events import Activity, Status
from tests.adapters.own_loop import events, rows, state_of
from tests.adapters.remote import Remote
from tests.ddp.loop_program import BAD_STEP, run_together, steered, unsteered


def test_two_processes_are_steered_together(tmp_path: Path) -> None:
    at: dict[str, int] = {}
    payloads: dict[str, dict[str, Any]] = {}

    def steer() -> None:
        remote = Remote(tmp_path / "one")

        def saved_as(name: str) -> str:
            saved = remote.send(c.SaveCheckpoint()).event
            assert isinstance(saved, e.CheckpointSaved)
            payloads[name] = torch.load(tmp_path / "one" / "checkpoints" / saved.path, weights_only=True)
            return saved.path

        remote.await_state(lambda state: state.step >= BAD_STEP + 4)
        for command in (c.ScaleLr(0.5), c.SetKnob("noise", 0.7), c.SetLossWeight("size", 0.25)):
            assert remote.send(command).status is Status.APPLIED
        first_path = saved_as("first")
        remote.send(c.Pause())
        at["paused"] = remote.await_pause()
        remote.send(c.RunSteps(3))
        remote.await_state(lambda state: state.step == at["paused"] + 3 and state.activity is Activity.PAUSED)
        saved_as("before")
        assert isinstance(remote.send(c.Rollback(first_path)).event, e.RolledBack)
        at["back"] = remote.await_pause()
        remote.send(c.RunSteps(2))
        remote.await_state(lambda state: state.step == at["back"] + 2 and state.activity is Activity.PAUSED)
        assert remote.send(c.SetKnob("noise", 0.3)).status is Status.APPLIED
        remote.send(c.Stop())

    first, second = run_together(tmp_path, steered, steer)
    run = tmp_path / "one"
    assert first == second
    assert at["back"] < at["paused"] and first["step"] == at["back"] + 2
    assert first["knob"] == 0.3 and first["directory"] == str(run) and first["rate"] == 0.005
    state = state_of(run)
    assert state.step == first["step"] and state.loss_weights == first["weights"] == {"error": 1.0, "size": 0.25}
    (skipped,) = events(run, e.StepSkipped)
    assert "gradient" in skipped.reason and rows(run)[BAD_STEP]["skipped"] == 1.0
    (fault,) = events(run, e.FaultNamed)
    assert (fault.at_step, fault.verdict, fault.direction, fault.rank) == (BAD_STEP, REPRODUCED, "input", 1)
    payload = torch.load(run / "checkpoints" / events(run, e.CheckpointSaved)[-1].path, weights_only=True)
    assert payload["step"] == first["step"] and payload["num_ranks"] == 2 and set(payload["ranks"]) == {1}
    assert events(run, e.RunFinished)[-1].reason == "stopped"
    (rollback,) = (event.path for event in events(run, e.CheckpointSaved) if event.kind == "rollback")
    back = torch.load(run / "checkpoints" / rollback, weights_only=True)
    assert back["position"]["batches"] == payloads["before"]["position"]["batches"], "it goes on with the next batch"
    for name, of in (("random", "before"), ("rng", "first")):
        assert torch.equal(back["ranks"][1][name]["cpu"], payloads[of]["ranks"][1][name]["cpu"]), name


def test_a_process_whose_part_was_left_between_two_epochs_skips_as_many_batches_as_the_others() -> None:
    model = nn.Linear(2, 2)
    live = AttachedState(
        {"": model}, hooks=OptimizerHooks(ParameterNames({"": model}), lambda error: None), num_ranks=2
    )
    part = {"rng": random_states(), "random": None, "state": None}
    position = {"epoch": 3, "batches": 4, "random": random_states(), "state": None}
    take_up_position_as(live, 1, {"position": position, "num_ranks": 2, "ranks": {1: part}})
    batches = LoopBatches(live)
    batches.resume()
    numbers = LoopNumbers(live.hooks)
    loop = EpochLoop(lambda: None, lambda: None, lambda: None)
    assert list(batches.read(DataLoader(list(range(6)), batch_size=None), numbers, loop)) == [4, 5]


def test_runs_of_two_processes_resume_exactly_and_have_their_faults_together(tmp_path: Path) -> None:
    first, second = run_together(tmp_path, unsteered)
    assert first["shown"] == [24.0, 0.05]

    for ranks in zip(first["resumed"], second["resumed"], strict=True):
        assert ranks[0] == ranks[1]
    straight, after, between, step = first["resumed"]
    assert straight == after and 8 < int(between) < 12 and step == "18"

    assert first["unwrapped"] == second["unwrapped"]
    assert first["unwrapped"]["finite"] and first["unwrapped"]["step"] == 6
    (skipped,) = events(tmp_path / "unwrapped", e.StepSkipped)
    assert "of another process" in skipped.reason and rows(tmp_path / "unwrapped")[3]["skipped"] == 1.0

    (fault,) = events(tmp_path / "unwrapped", e.FaultNamed)
    assert (fault.at_step, fault.verdict, fault.rank) == (3, VANISHED, None), "the loop's counter has moved on"

    assert first["named"] == second["named"] and first["named"]["step"] == 12
    (fault,) = events(tmp_path / "named", e.FaultNamed)
    assert (fault.at_step, fault.verdict, fault.rank) == (4, REPRODUCED, 1)
    assert (fault.direction, fault.module, fault.operation) == ("forward", "1", "log")
    said = [event.message for event in events(tmp_path / "named", e.AlertRaised) if event.kind == "fault"]
    assert len(said) == 1 and "the output of log in 1 on rank 1 (" in said[0] and "loop_program.py" in said[0]

    assert first["faulty"] == second["faulty"]
    rates = first["faulty"]["rates"]
    assert rates[:4] == [0.01] * 4 and 0.005 in rates[4:9] and rates[-1] == 0.01 and len(rates) == 36
    (alert,) = [event for event in events(tmp_path / "faulty", e.AlertRaised) if event.kind == "detached"]
    assert "rank 1: ZeroDivisionError" in alert.message
    assert events(tmp_path / "faulty", e.RunFinished)[-1].reason == "detached"

    assert second["refused"].startswith("TypeError") and first["refused"].startswith("UserError: rank 1: TypeError")
    assert not (tmp_path / "refused").exists()

    assert (first["failed"], second["failed"]) == ("KeyboardInterrupt", "ValueError")
    (failure,) = events(tmp_path / "failed", e.RunFailed)
    assert failure.error == "rank 1: ValueError: the data of rank 1 are odd"
