"""Commands and their effects in few words."""

from __future__ import annotations

from typing import get_args

import pytest

from cockpit.text.command_text import change, changes_nothing, describe_outcome, title, waits_for
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.commands import Command
from engine.protocol.decide import decide, refused
from engine.protocol.events import Activity
from tests.person_state import person_state

STATE = person_state(run="calm", activity=Activity.RUNNING, lr=3e-3, step=10, loss_weights={"dice": 0.5})

COMMANDS = {
    c.Pause(): "pause",
    c.Resume(): "resume",
    c.RunSteps(): "one step",
    c.RunSteps(20): "20 steps",
    c.ScaleLr(0.5): "lower LR",
    c.ScaleLr(2.0): "raise LR",
    c.SetLr(1e-6): "set LR to 1.00e-06",
    c.PromotePhase(): "promote",
    c.PromotePhase(force=True): "promote, forced",
    c.DemotePhase(): "demote",
    c.EnableRefinement("subpixel_conv"): "switch on subpixel_conv",
    c.DisableRefinement("subpixel_conv"): "switch off subpixel_conv",
    c.SetLossWeight("dice", 1.0): "weight of dice",
    c.SetGradientClip(1.0): "gradient clip",
    c.SetAccumulation(2): "accumulation",
    c.SetBatchSize(2): "batch size",
    c.SetOptimizer("adam"): "optimizer",
    c.SaveCheckpoint(): "checkpoint",
    c.Rollback(): "roll back to the last good checkpoint",
    c.Rollback("120"): "roll back to 120",
    c.Validate(): "validate",
    c.TakeHistogram("unet"): "histogram of unet",
    c.AddNote("x"): "note",
    c.SetGuardian(True): "guardian on",
    c.SetAutopilot(False): "autopilot off",
    c.ExcludeSamples(("a", "b")): "exclude 2 samples",
    c.SetKnob("tau", 0.5): "set tau to 0.5",
    c.SetKnob("mixup", True): "set mixup to on",
    c.Stop(): "stop",
}


@pytest.mark.parametrize(("command", "told"), COMMANDS.items(), ids=str)
def test_a_command_has_a_name(command, told):
    assert title(command) == told


def test_every_command_is_named_here():
    assert {type(command) for command in COMMANDS} == set(get_args(Command))


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_every_outcome_is_told_in_one_line(command):
    told = describe_outcome(decide(STATE, command))
    assert told and "\n" not in told


def test_what_is_clamped_says_to_what_and_why():
    outcome = decide(STATE, c.SetLossWeight("dice", 500.0))
    assert describe_outcome(outcome) == "will be clamped: 0.5 -> 100 (a loss weight's upper bound is 100)"


def test_a_refusal_is_its_reason():
    assert describe_outcome(refused("not paused")) == "not paused"


def test_a_forced_promotion_says_that_it_is_recorded():
    assert change(e.PhasePromoted(1, 2, ("active_contour_loss",), forced=True)).endswith("recorded as forced")


def test_control_characters_never_reach_the_screen():
    assert title(c.SetLossWeight("\x1b[31m", 1.0)) == "weight of \\x1b[31m"


def test_the_same_value_changes_nothing():
    assert changes_nothing(decide(STATE, c.SetLossWeight("dice", 0.5)))
    assert not changes_nothing(decide(STATE, c.SetLossWeight("dice", 0.6)))
    assert not changes_nothing(decide(STATE, c.AddNote("x")))
    assert not changes_nothing(refused("no"))


@pytest.mark.parametrize("activity", Activity)
def test_it_is_said_what_a_command_waits_for(activity):
    assert waits_for(person_state(run="calm", activity=activity)).startswith("waits")


def test_before_the_run_has_spoken_a_command_waits_for_the_first_step():
    assert waits_for(None) == "waits for the first step"
