"""The books of a run outlive the process, and a rollback turns back all of them but the memories."""

from __future__ import annotations

import math

from engine.config.tree import Config
from engine.supervision.autopilot import AutopilotMemory
from engine.supervision.guardian_types import BadStep, GuardianMemory
from engine.supervision.run_memory import Books
from tests.small import small_config

CONFIG: Config = small_config()


def filled() -> Books:
    books = Books(CONFIG)
    for loss in (1.0, 2.0, 3.0, 4.0, 5.0):
        books.window.add(loss=loss, grad_norm=loss / 2, finite=loss != 3.0)
    books.window.mious.append(0.25)
    books.phase, books.clean_steps, books.skipped_in_a_row = 2, 7, 3
    books.guardian = GuardianMemory(bad=(BadStep(9, ("a#0",)),), spikes=(4,), attempts=2, farthest=9, refinement="x")
    books.autopilot = AutopilotMemory(failures=(2, 2), retry_at=300, said="waits phase 2", said_at=200)
    return books


def test_books_are_opened_again_as_they_were_closed() -> None:
    books = Books(CONFIG)
    books.open_again(filled().to_text())
    assert books.to_text() == filled().to_text()
    assert list(books.window.losses) == [1.0, 2.0, 4.0, 5.0] and books.window.mious == [0.25]
    assert books.guardian == filled().guardian and books.autopilot == filled().autopilot


def test_a_rollback_leaves_what_the_guardian_and_the_autopilot_remember() -> None:
    books = filled()
    books.turn_back(Books(CONFIG).to_text())
    assert books.clean_steps == 0 and not books.window.losses and not books.window.mious
    assert books.guardian.attempts == 2 and books.autopilot.retry_at == 300 and books.skipped_in_a_row == 3


def test_a_loss_that_is_not_finite_can_be_kept() -> None:
    books = Books(CONFIG)
    books.window.add(loss=math.inf, grad_norm=1.0, finite=True)
    again = Books(CONFIG)
    again.open_again(books.to_text())
    assert list(again.window.losses) == [math.inf]
