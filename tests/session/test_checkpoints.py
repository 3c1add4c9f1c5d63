"""The list of checkpoints that a rollback can go to."""

from __future__ import annotations

import math

import pytest

from cockpit.session.checkpoints import Checkpoint, checkpoints_of, step_of, way_back
from engine.protocol import events as e
from engine.protocol.events import Status
from tests.dialogs.entries import Ledger
from tests.person_state import person_state

STATE = person_state(run="calm", step=480, checkpoints=("step-00000120.pt", "step-00000360.pt"))


def saved(name, *, score=0.4, good=True):
    return e.CheckpointSaved(name, "step", 1.5, score, good)


def test_what_is_on_disk_is_listed_newest_first():
    recorder = Ledger()
    recorder.write(saved("step-00000120.pt"), status=Status.NOTED)
    recorder.write(saved("step-00000240.pt"), status=Status.NOTED)
    last = recorder.write(saved("step-00000360.pt", score=None, good=False), status=Status.NOTED)
    found = checkpoints_of(STATE, recorder.entries)
    assert [checkpoint.step for checkpoint in found] == [360, 120]
    assert found[0] == Checkpoint("step-00000360.pt", 360, "step", 1.5, None, False, last.time)


def test_a_checkpoint_written_again_after_a_rollback_counts_as_written_last():
    recorder = Ledger()
    recorder.write(saved("step-00000360.pt", score=0.1))
    recorder.write(saved("checkpoints/step-00000360.pt", score=0.5))
    assert checkpoints_of(STATE, recorder.entries)[0].score == 0.5


def test_one_that_nobody_wrote_down_is_listed_all_the_same():
    assert checkpoints_of(STATE, ())[1] == Checkpoint("step-00000120.pt", 120)


@pytest.mark.parametrize(
    ("name", "step"), [("step-00000120.pt", 120), ("step-00000000.pt", 0), ("best.pt", None), ("", None), ("a-²", None)]
)
def test_the_step_is_read_off_the_name(name, step):
    assert step_of(name) == step


def test_the_way_back_is_told_in_steps():
    assert way_back(STATE, "step-00000360.pt") == "back 120 steps, from 480 to 360"
    assert way_back(STATE, "step-00000479.pt") == "back 1 step, from 480 to 479"
    assert way_back(STATE, "best.pt") == "to best.pt"


def test_a_checkpoint_before_the_first_step_has_no_loss():
    recorder = Ledger()
    recorder.write(e.CheckpointSaved("step-00000000.pt", "start", math.nan, None, True))
    state = person_state(run="calm", checkpoints=("step-00000000.pt",))
    assert checkpoints_of(state, recorder.entries)[0].loss is None
