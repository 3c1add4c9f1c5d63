"""A run whose machine is taken away: checkpoints by signal, the end by signal or time limit, and the resume."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import ValidationError

from engine.config.sections import PreemptionConfig
from engine.journal.disk.run_dir import CHECKPOINTS
from engine.journal.reader import Entry, JournalReader
from engine.protocol import events as e
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.host.time_limit import TimeLimit
from engine.runtime.loop import Loop
from engine.runtime.start.bootstrap import RunRequest
from engine.runtime.train import train
from engine.tasks.person.config import PersonConfig
from engine.training.checkpoint.file import list_checkpoints, load_checkpoint
from tests.small import small_config

CONFIG = small_config(training={"epochs": 8}, checkpoint={"every_steps": 0})


def _train(directory: Path, interrupt: Interrupt, config: PersonConfig = CONFIG, *, resume: bool = False) -> int:
    directory.mkdir(exist_ok=True)
    return train(RunRequest(directory, config, device="cpu", resume=resume), interrupt)


def _entries(directory: Path, *kinds: type) -> list[Entry]:
    with closing(JournalReader(directory)) as reader:
        return [entry for entry in reader.events() if isinstance(entry.event, kinds)]


def _final(directory: Path) -> dict[str, object]:
    payload = load_checkpoint(list_checkpoints(directory / CHECKPOINTS)[-1])
    return {name: value.tolist() for name, value in payload["model"].items()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("runs") / "whole"
    assert _train(directory, Interrupt()) == 0
    return directory


@pytest.fixture
def at_turn(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], object]], None]:
    """Call something at the n-th boundary of the next run."""

    def schedule(number: int, call: Callable[[], object]) -> None:
        turn, count = Loop.turn, [0]

        def counted(loop: Loop) -> str:
            count[0] += 1
            if count[0] == number:
                call()
            return turn(loop)

        monkeypatch.setattr(Loop, "turn", counted)

    return schedule


def test_a_signal_writes_a_checkpoint_and_the_run_goes_on(tmp_path: Path, whole: Path, at_turn) -> None:
    interrupt = Interrupt()
    at_turn(3, lambda: interrupt.ask(signal.SIGUSR1))
    assert _train(tmp_path / "run", interrupt) == 0
    saved = [entry for entry in _entries(tmp_path / "run", e.CheckpointSaved) if entry.actor == "signal"]
    assert [(entry.step, entry.event.kind) for entry in saved] == [(2, "signal")]  # type: ignore[union-attr]
    assert saved[0].reason == f"signal {int(signal.SIGUSR1)}"
    assert _final(tmp_path / "run") == _final(whole), "a checkpoint changes nothing"


def test_the_signal_of_a_scheduler_ends_with_its_code_and_the_resume_is_exact(
    tmp_path: Path, whole: Path, at_turn
) -> None:
    interrupt = Interrupt()
    at_turn(4, lambda: interrupt.ask(signal.SIGUSR2))
    assert _train(tmp_path / "run", interrupt) == 85
    (stop,) = _entries(tmp_path / "run", e.StopRequested)
    assert stop.actor == "signal" and stop.step == 2
    assert _train(tmp_path / "run", Interrupt(), resume=True) == 0
    assert _final(tmp_path / "run") == _final(whole)


def test_a_signal_during_the_last_step_does_not_queue_a_complete_run_again(tmp_path: Path, monkeypatch) -> None:
    interrupt = Interrupt()
    train_loop = Loop.train

    def trained(loop: Loop) -> str:
        reason = train_loop(loop)
        interrupt.ask(signal.SIGUSR2)
        return reason

    monkeypatch.setattr(Loop, "train", trained)
    config = small_config(training={"epochs": 3, "max_steps": 2})
    assert _train(tmp_path / "run", interrupt, config) == 0


def test_the_signals_and_the_code_are_those_of_the_configuration(tmp_path: Path, at_turn) -> None:
    config = small_config(preemption={"requeue_signal": "SIGTERM", "requeue_exit_code": 99})
    interrupt = Interrupt()
    at_turn(2, lambda: interrupt.ask(signal.SIGTERM))
    assert _train(tmp_path / "run", interrupt, config) == 99


def test_one_signal_cannot_have_two_meanings() -> None:
    with pytest.raises(ValidationError, match="must not both be SIGUSR1"):
        PreemptionConfig(requeue_signal="SIGUSR1")
    assert PreemptionConfig(checkpoint_signal="none", requeue_signal="none").reactions().requeue == 0


def test_the_time_limit_is_announced_and_ends_in_time_and_the_resume_is_exact(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, turn = [0.0], Loop.turn

    def slow(loop: Loop) -> str:
        """Let every turn take twenty seconds: how often it looks at the clock depends on the threads."""
        now[0] += 20.0
        return turn(loop)

    monkeypatch.setattr(Loop, "turn", slow)
    interrupt = Interrupt(limit=TimeLimit(200, "--time-limit 200s", clock=lambda: now[0]))
    assert _train(tmp_path / "run", interrupt) == 85
    assert now[0] < 200, "the checkpoint is written before the limit"
    (note,) = (x for x in _entries(tmp_path / "run", e.NoteAdded) if x.actor == "time limit")
    assert isinstance(note.event, e.NoteAdded) and note.event.text.startswith("--time-limit 200s: this run ends")
    (alert,) = _entries(tmp_path / "run", e.AlertRaised)
    assert isinstance(alert.event, e.AlertRaised) and alert.event.kind == "time limit"
    assert "exit code 85: --time-limit 200s" in alert.event.message and alert.event.severity == "info"
    (stop,) = _entries(tmp_path / "run", e.StopRequested)
    assert stop.actor == "time limit" and alert.step <= stop.step
    saved = _entries(tmp_path / "run", e.CheckpointSaved)[-1]
    assert saved.step == stop.step > 0 and saved.event.kind == "final"  # type: ignore[union-attr]
    assert _train(tmp_path / "run", Interrupt(), resume=True) == 0
    assert _final(tmp_path / "run") == _final(whole)


def test_a_time_limit_that_is_over_before_the_first_step_trains_nothing(tmp_path: Path) -> None:
    assert _train(tmp_path / "run", Interrupt(limit=TimeLimit(0.001, "--time-limit 1ms"))) == 85


def test_a_pause_lets_no_slow_step_be_forgotten_and_counts_as_none(tmp_path: Path, monkeypatch) -> None:
    now, count, turn = [0.0], [0], Loop.turn
    limit = TimeLimit(100_000, "--time-limit 100000s", clock=lambda: now[0])

    def turned(loop: Loop) -> str:
        count[0] += 1
        if count[0] == 3:
            now[0] += 60.0
        elif count[0] == 4:
            loop._recorder.record_event(e.Paused(before="running"))
        elif 5 < count[0] < 300:
            now[0] += 3600.0 if count[0] == 200 else 0.02
        elif count[0] == 300:
            loop._recorder.record_event(e.Resumed(before="paused"))
        return turn(loop)

    monkeypatch.setattr(Loop, "turn", turned)
    monkeypatch.setattr("engine.runtime.loop._PAUSE_POLL_SECONDS", 0.0)
    config = small_config(training={"max_steps": 6}, checkpoint={"every_steps": 0})
    assert _train(tmp_path / "run", Interrupt(limit=limit), config) == 0
    assert 2 * 60 * 0.95 < limit.reserve - 2 * limit.checkpoint_seconds - 30 <= 2 * 60
