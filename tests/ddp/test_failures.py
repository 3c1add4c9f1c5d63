"""A rank that dies, hangs or fails ends the run with a checkpoint and a sentence that names it."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.protocol import events as e
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.host.launch import Launch, torchrun_launch
from engine.runtime.ranks.pulse import WAITING, Beat, Pulse, process_name
from engine.runtime.start.bootstrap import RunRequest
from engine.runtime.train import train
from engine.training.checkpoint.file import load_checkpoint
from tests.adapters.remote import Remote
from tests.ddp.ranks import entries, script, series, tiny_config, train_together

FAULTS = {
    "die": "is gone: its last step was 6, then it was in forward and backward",
    "hang": "has not answered for 3 s: its last step was 6, then it was in forward and backward",
    "raise": "rank 1 ended after step 6: ValueError: the network of rank 1 is odd",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_lost_rank_ends_the_run_with_a_checkpoint_and_is_named(tmp_path: Path, fault: str) -> None:
    run = tmp_path / "run"
    run.mkdir()
    config = tiny_config("Faulty", distributed={"timeout_seconds": 3.0}, checkpoint={"every_steps": 0})
    request = RunRequest(run, config, device="cpu")
    ended = train_together(2, request, environment={"FAULT": fault}, meanwhile=_end_of_rank_0)
    assert ended.codes[0] == 1
    events = [entry.event for entry in entries(run)]
    failed = [event for event in events if isinstance(event, e.RunFailed)]
    assert len(failed) == 1 and FAULTS[fault] in failed[0].error and "rank 1" in failed[0].error
    saved = [event for event in events if isinstance(event, e.CheckpointSaved)]
    assert saved[-1].path == "step-00000006.pt"


def _end_of_rank_0(remote: object, processes: list) -> None:
    processes[0].join(60)
    for process in processes[1:]:
        process.kill()  # as torchrun does with the ranks that are left


class Shelf(dict):
    """A store of one process."""

    def set(self, key: str, value: str) -> None:
        self[key] = value.encode()

    def get(self, key: str) -> bytes:
        return self[key]

    def check(self, keys: list[str]) -> bool:
        return all(key in self for key in keys)


def pulses(world: int) -> list[Pulse]:
    shelf = Shelf()
    made = [Pulse(shelf, rank, world, f"process {rank}") for rank in range(world)]
    for pulse in made:
        pulse.step, pulse.doing = 41, WAITING
        pulse.beat()
    return made


def test_the_rank_without_a_sign_of_life_is_gone() -> None:
    first, second, third = pulses(3)
    assert first.blame(5, lambda _: third.beat()).startswith("rank 1 (process 1) is gone: its last step was 41")
    assert second.blame(5, lambda _: (first.beat(), second.beat())).startswith("rank 2 (process 2) is gone")


def test_a_stopped_rank_gives_no_sign_of_life() -> None:
    shelf = Shelf()
    here, other = (Pulse(shelf, rank, 2, process_name()) for rank in range(2))
    here.beat()
    other.beat()
    assert here.blame(5, lambda _: None).startswith(f"rank 1 ({process_name()}) gives no sign of life: its last step")


def test_a_step_of_before_a_rollback_is_not_the_last_one() -> None:
    first, second = pulses(2)
    second.step, second.doing = 60, "reading a batch"
    second.beat()
    assert "its last step was 41, then" in first.blame(5, lambda _: (first.beat(), second.beat()))
    second.step = 42
    assert "its last step was 42, then" in first.blame(5, lambda _: (first.beat(), second.beat()))


def test_what_a_rank_did_before_its_last_step_is_not_told_of_the_time_after_it() -> None:
    """Steps may be shorter than the time between two signs of life."""
    first, _ = pulses(2)
    first.step = 60
    said = first.blame(5, lambda _: first.beat())
    assert said == "rank 1 (process 1) is gone: its last step was 60"


def test_the_rank_that_does_something_else_than_wait_is_to_blame() -> None:
    first, second, third = pulses(3)
    third.doing = "reading a batch"
    said = first.blame(30, lambda _: (second.beat(), third.beat()))
    assert said == "rank 2 (process 2) has not answered for 30 s: its last step was 41, then it was reading a batch"


def test_a_rank_that_has_left_because_it_lost_the_others_is_not_to_blame() -> None:
    first, second, third = pulses(3)
    second.leave()
    assert first.blame(3, lambda _: None).startswith("rank 2 (process 2) is gone")
    third.leave("the disk is full")
    assert first.blame(3, lambda _: None) == "rank 2 ended after step 41: the disk is full"
    assert (first.reason_of(0), first.reason_of(1), first.reason_of(2)) == (None, "", "the disk is full")


def test_signs_of_life_that_never_came_are_of_a_rank_that_starts() -> None:
    lonely = Pulse(Shelf(), 0, 2, "here")
    assert lonely.beats() == {0: Beat(), 1: Beat()}


def test_a_process_is_a_rank_only_if_a_launcher_said_so() -> None:
    environment = {"RANK": "1", "WORLD_SIZE": "4", "MASTER_ADDR": "a", "MASTER_PORT": "1"}
    assert torchrun_launch({}) is None and torchrun_launch({"WORLD_SIZE": "4"}) is None
    named = torchrun_launch({**environment, "TORCHELASTIC_RUN_ID": "job-7", "TORCHELASTIC_RESTART_COUNT": "2"})
    assert named == Launch(rank=1, world=4, restarts=2, job="job-7")
    nameless = torchrun_launch({**environment, "TORCHELASTIC_RUN_ID": "none"})
    assert nameless is not None and nameless.job.startswith("process ")


def test_data_that_one_rank_cannot_reach_are_waited_for_by_all(tmp_path: Path) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    alone.mkdir()
    together.mkdir()
    config = tiny_config("Unmounted", training={"epochs": 2})
    assert train(RunRequest(alone, config, device="cpu"), Interrupt()) == 0
    ended = train_together(2, RunRequest(together, config, device="cpu", script=script("3: exclude 21")))
    assert ended.codes == (0, 0), ended.said
    assert ended.prints[0] == ended.prints[1], "the ranks differ"
    events = [entry.event for entry in entries(together)]
    gone = [event for event in events if isinstance(event, e.AlertRaised) and event.kind == "data"]
    assert len(gone) == 1 and "rank 1: the disk of rank 1 is gone" in gone[0].message
    notes = [event.text for event in events if isinstance(event, e.NoteAdded)]
    assert len(notes) == 1 and notes[0].startswith("the data are there again after ")
    usual, found = series(alone, "loss/total"), series(together, "loss/total")
    assert found["step"][:3] == usual["step"][:3]
    np.testing.assert_allclose(found["loss/total"][:3], usual["loss/total"][:3], rtol=1e-5)


def test_without_rank_0_the_others_end_name_it_and_save_its_state(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    keeps = {"every_steps": 0, "every_epochs": 0}
    config = tiny_config(training={"epochs": 100_000}, distributed={"timeout_seconds": 3.0}, checkpoint=keeps)
    ends: list[int | None] = []

    def meanwhile(remote: Remote, processes: list) -> None:
        remote.await_state(lambda state: state.step >= 3)
        os.kill(processes[0].pid, signal.SIGSTOP)
        processes[1].join(60)
        ends.append(processes[1].exitcode)
        processes[0].kill()

    ended = train_together(2, RunRequest(run, config, device="cpu"), meanwhile=meanwhile)
    assert ends == [2], "rank 1 waited until rank 0 was killed"
    assert ended.said[1].startswith("rank 0 (process ") and "has not answered for 3 s" in ended.said[1]
    name = ended.said[1].rpartition(" is saved as ")[2]
    assert load_checkpoint(run / "checkpoints" / name)["step"] == int(name[5:13]) > 0


def test_rank_1_saves_the_run_of_a_rank_0_that_hangs_in_a_step(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()

    def meanwhile(remote: Remote, processes: list) -> None:
        processes[1].join(60)
        processes[0].kill()

    distributed, keeps = {"timeout_seconds": 3.0}, {"every_steps": 0, "every_epochs": 0}
    request = RunRequest(run, tiny_config("Faulty", distributed=distributed, checkpoint=keeps), device="cpu")
    ended = train_together(2, request, environment={"FAULT": "hang", "FAULTY": "0"}, meanwhile=meanwhile)
    said = "has not answered for 3 s: its last step was 6, then it was in forward and backward; its state is saved as "
    assert ended.codes[1] == 2 and ended.said[1].endswith(f"{said}step-00000006.pt")
    assert load_checkpoint(run / "checkpoints" / "step-00000006.pt")["step"] == 6


def test_a_slow_rank_raises_an_alert(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    config = tiny_config("Faulty", training={"epochs": 1000, "max_steps": 45}, validation={"every_epochs": 1000})
    ended = train_together(2, RunRequest(run, config, device="cpu"), environment={"FAULT": "slow"})
    assert ended.codes == (0, 0), ended.said
    alerts = [entry.event for entry in entries(run) if isinstance(entry.event, e.AlertRaised)]
    slow = [alert.message for alert in alerts if alert.kind == "slow rank"]
    assert len(slow) == 1 and slow[0].startswith("rank 1 is slow")


def test_rank_1_saves_a_run_whose_rank_0_has_died_and_it_resumes_as_if_nothing_had_been(tmp_path: Path) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    alone.mkdir()
    together.mkdir()
    config = tiny_config("Faulty", checkpoint={"every_steps": 0, "every_epochs": 0})
    assert train(RunRequest(alone, config, device="cpu"), Interrupt()) == 0
    request = RunRequest(together, config, device="cpu")
    ended = train_together(2, request, environment={"FAULT": "die", "FAULTY": "0"})
    assert ended.codes == (-signal.SIGKILL, 2)
    assert ended.said[1].endswith("; its state is saved as step-00000006.pt")
    assert train_together(2, replace(request, resume=True)).codes == (0, 0)
    alerts = [entry.event for entry in entries(together) if isinstance(entry.event, e.AlertRaised)]
    lost = [alert for alert in alerts if alert.kind == "lost rank"]
    assert [(alert.message, alert.at_step) for alert in lost] == [(ended.said[1].partition("; its state")[0], 6)]
    started = [entry.event for entry in entries(together) if isinstance(entry.event, e.RunStarted)]
    assert [event.device.partition(" (")[0] for event in started] == ["2 ranks of cpu"] * 2
    usual, found = series(alone, "loss/total"), series(together, "loss/total")
    assert found["step"] == usual["step"]
    np.testing.assert_allclose(found["loss/total"], usual["loss/total"], rtol=2e-5)
