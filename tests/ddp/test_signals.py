"""Signals, the time limit, the autopilot and the guardian act on all ranks at the same step."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from engine.protocol import commands as c
from engine.protocol import events as e
from engine.runtime.start.bootstrap import RunRequest
from tests.adapters.remote import Remote
from tests.ddp.ranks import entries, tiny_config, train_together

ENDLESS = {"epochs": 100_000}
NO_CHECKPOINTS = {"every_steps": 0, "every_epochs": 0}


def request(run: Path, *words: str, **overrides: dict[str, object]) -> RunRequest:
    run.mkdir()
    return RunRequest(run, tiny_config(*words, **overrides), device="cpu")


def saved(run: Path) -> list[tuple[int, str]]:
    found = [(entry.step, entry.event) for entry in entries(run)]
    return [(step, event.path) for step, event in found if isinstance(event, e.CheckpointSaved)]


def await_answers(remote: Remote, number: int) -> None:
    """Wait until signals have caused as many checkpoints."""
    until = time.monotonic() + 30
    while sum(entry.actor == "signal" for entry in entries(remote.directory)) < number:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_autopilot_and_guardian_change_all_ranks_alike(tmp_path: Path) -> None:
    recovery = {"bad_steps": 1, "window_steps": 2, "probation_steps": 0}
    asked = request(
        tmp_path / "run", "OnceBad", autopilot={"enabled": True, "final_share": 0.2}, guard={"recovery": recovery}
    )
    ended = train_together(2, asked)
    assert ended.codes == (0, 0), ended.said
    assert ended.prints[0] == ended.prints[1], "the ranks differ"
    found = [(entry.actor, type(entry.event)) for entry in entries(tmp_path / "run")]
    promoted, rolled_back = ("autopilot", e.PhasePromoted), ("guardian", e.RolledBack)
    assert promoted in found and rolled_back in found and found.index(promoted) < found.index(rolled_back)
    assert "lr_scale=0.5" in ended.prints[1]["decided"]


def test_the_time_limit_ends_all_ranks_at_one_step_with_a_checkpoint(tmp_path: Path) -> None:
    asked = request(tmp_path / "run", training=ENDLESS, checkpoint=NO_CHECKPOINTS)
    ended = train_together(2, asked, environment={"TICKS": "120"})
    assert ended.codes == (85, 0), ended.said
    assert ended.prints[0] == ended.prints[1], "the ranks differ"
    step = int(ended.prints[0]["step"])
    assert step > 3 and saved(tmp_path / "run")[-1] == (step, f"step-{step:08d}.pt")
    said = [entry for entry in entries(tmp_path / "run") if entry.actor == "time limit"]
    assert any(isinstance(entry.event, e.AlertRaised) and entry.step < step for entry in said), "not said ahead"


def test_a_scheduler_may_signal_any_rank(tmp_path: Path) -> None:
    """SIGUSR1 writes a checkpoint and all go on, also in a pause; SIGUSR2 ends all at one step."""

    def meanwhile(remote: Remote, processes: list) -> None:
        remote.await_state(lambda state: state.step >= 3)
        os.kill(processes[1].pid, signal.SIGUSR1)
        await_answers(remote, 1)
        remote.send(c.Pause())
        remote.await_pause()
        os.kill(processes[1].pid, signal.SIGUSR1)
        await_answers(remote, 2)
        remote.send(c.Resume())
        os.kill(processes[1].pid, signal.SIGUSR2)

    asked = request(tmp_path / "run", training=ENDLESS, checkpoint=NO_CHECKPOINTS)
    ended = train_together(2, asked, meanwhile=meanwhile)
    assert ended.codes == (85, 0), ended.said
    assert ended.prints[0] == ended.prints[1], "the ranks differ"
    step = int(ended.prints[0]["step"])
    assert saved(tmp_path / "run")[-1] == (step, f"step-{step:08d}.pt")
    asked_for = [entry for entry in entries(tmp_path / "run") if entry.actor == "signal"]
    assert sum(isinstance(entry.event, e.CheckpointSaved) for entry in asked_for) == 2
