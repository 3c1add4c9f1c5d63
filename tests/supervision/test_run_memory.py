"""The memory of a run survives the process. A rollback restores only the statistics of steps."""

from __future__ import annotations

import math

from engine.protocol.codec import from_text, to_text
from engine.protocol.engine_events import ValidationCompleted
from engine.supervision.autopilot import AutopilotState
from engine.supervision.guardian_types import BadStep, GuardianState
from engine.supervision.run_memory import EpochLoss, FaultKind, RunMemory
from engine.tasks.person.config import PersonConfig
from engine.tasks.person.spec import SPEC
from tests.person_state import person_state
from tests.small import small_config

CONFIG: PersonConfig = small_config()
KIND: FaultKind = (("dice",), ("edges",), (), ())


def filled() -> RunMemory:
    memory = RunMemory(CONFIG, SPEC)
    for loss in (1.0, 2.0, 3.0, 4.0, 5.0):
        memory.window.add(loss=loss, grad_norm=loss / 2, finite=loss != 3.0)
    memory.window.mious.append(0.25)
    memory.phase, memory.clean_steps, memory.skipped_in_a_row = 2, 7, 3
    memory.guardian = GuardianState(bad=(BadStep(9, ("a#0",)),), spikes=(4,), attempts=2, farthest=9, refinement="x")
    memory.warned_at, memory.diagnosed_at, memory.is_validation_doubted = 40, {KIND: 8}, True
    memory.epoch_loss = EpochLoss(0.1 + 0.2, 2)
    assert memory.note_alert("non-finite step")
    memory.autopilot = AutopilotState(failures=(2, 2), retry_at=300, said="waits phase 2", said_at=200)
    return memory


def test_books_are_opened_again_as_they_were_closed() -> None:
    memory = RunMemory(CONFIG, SPEC)
    memory.load_state_dict(from_text(to_text(filled().state_dict())))
    assert memory.state_dict() == filled().state_dict()
    assert list(memory.window.losses) == [1.0, 2.0, 4.0, 5.0] and memory.window.mious == [0.25]
    assert memory.guardian == filled().guardian and memory.autopilot == filled().autopilot
    assert memory.warned_at == 40 and memory.diagnosed_at == {KIND: 8} and memory.is_validation_doubted
    assert not memory.note_alert("non-finite step") and memory.note_alert("another")
    assert memory.epoch_loss == EpochLoss(0.1 + 0.2, 2)


def test_the_gate_is_checked_for_the_restored_steps_and_not_yet_in_a_new_phase() -> None:
    memory = filled()
    memory.rewind(from_text(to_text(RunMemory(CONFIG, SPEC).state_dict())))
    memory.phase = 2
    checks = {check.name: check for check in memory.gate_checks(person_state(step=30, phase=2), CONFIG)}
    assert checks["steps in phase"].value == "30" and not checks["validation mIoU"].measured
    assert "loss below chance" not in checks, "this task's baseline is not known"
    memory = filled()
    assert not any(
        check.measured for check in memory.gate_checks(person_state(step=30, phase=3, phase_started_at=30), CONFIG)[1:]
    )


def test_the_memory_of_an_earlier_version_is_read() -> None:
    late = ("alerted", "warned_at", "diagnosed", "is_validation_doubted", "epoch_loss")
    earlier = {name: value for name, value in filled().state_dict().items() if name not in late}
    memory = RunMemory(CONFIG, SPEC)
    memory.load_state_dict(earlier)
    assert memory.clean_steps == 7 and memory.guardian == filled().guardian
    assert memory.warned_at is None and not memory.diagnosed_at and memory.note_alert("non-finite step")
    assert math.isnan(memory.epoch_loss.mean)


def test_a_rollback_leaves_what_the_guardian_and_the_autopilot_remember() -> None:
    memory = filled()
    memory.rewind(RunMemory(CONFIG, SPEC).state_dict())
    assert memory.clean_steps == 0 and not memory.window.losses and not memory.window.mious
    assert memory.epoch_loss == EpochLoss()
    assert memory.guardian.attempts == 2 and memory.autopilot.retry_at == 300 and memory.skipped_in_a_row == 3
    assert memory.warned_at == 40 and memory.diagnosed_at == {KIND: 8} and memory.is_validation_doubted
    assert not memory.note_alert("non-finite step")


def test_a_loss_that_is_not_finite_can_be_kept() -> None:
    memory = RunMemory(CONFIG, SPEC)
    memory.window.add(loss=math.inf, grad_norm=1.0, finite=True)
    again = RunMemory(CONFIG, SPEC)
    again.load_state_dict(from_text(to_text(memory.state_dict())))
    assert list(again.window.losses) == [math.inf]


def test_a_validation_is_kept_for_the_gate_and_one_that_is_not_finite_as_nan() -> None:
    memory = RunMemory(CONFIG, SPEC)
    for loss in (None, 1.5, math.nan):
        memory.note_validation(ValidationCompleted(loss, {SPEC.score: 0.4}, 1.0), SPEC.score)
    memory.note_validation(ValidationCompleted(1.5, {}, 1.0), SPEC.score)
    first, second, *others = memory.window.mious
    assert first == second == 0.4 and all(math.isnan(value) for value in others) and len(others) == 2


def test_scores_of_another_metric_are_not_compared_with_those_of_this_one() -> None:
    scored = RunMemory(CONFIG, SPEC)
    scored.note_validation(ValidationCompleted(1.0, {"miou": 0.25, "boundary_f": 0.5}, 1.0), "miou")
    memory = RunMemory(CONFIG, SPEC.scored_by("boundary_f"))
    memory.load_state_dict(scored.state_dict())
    assert memory.window.mious == []
    memory.note_validation(ValidationCompleted(1.0, {"miou": 0.25, "boundary_f": 0.5}, 1.0), "boundary_f")
    again = RunMemory(CONFIG, SPEC.scored_by("boundary_f"))
    again.load_state_dict(memory.state_dict())
    assert again.window.mious == [0.5]
    again.rewind(scored.state_dict())
    assert again.window.mious == []
    again.note_validation(ValidationCompleted(1.0, {"miou": 0.25}, 1.0), "miou")
    again.note_validation(ValidationCompleted(1.0, {"boundary_f": 0.75}, 1.0), "boundary_f")
    assert again.window.mious == [0.75], "the score was another one in between"
