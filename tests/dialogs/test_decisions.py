"""How often a key press calls `decide`: once for each command that it sends or shows, and never twice on one state."""

from __future__ import annotations

import re

import pytest
from textual.widgets import Input

from cockpit.ui.dialogs.action_table import ACTIONS
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.commands import Command
from engine.protocol.events import Status
from tests.architecture.sources import ROOT
from tests.decisions import Decisions
from tests.dialogs.conftest import RED
from tests.dialogs.screen import SIZE, SteeredScreen, press, raise_alert

FORCED = c.PromotePhase(force=True)

ONE_KEY: dict[str, Command] = {
    "space": c.Pause(),
    "n": c.RunSteps(1),
    "l": c.ScaleLr(0.5),
    "L": c.ScaleLr(2.0),
    "c": c.SaveCheckpoint(),
    "v": c.Validate(),
}
"""Keys that send a command without a dialog."""

CONFIRMED: dict[str, Command] = {
    "P": c.DemotePhase(),
    "1": c.DisableRefinement("boundary_refinement"),
    "3": c.EnableRefinement("active_contour_loss"),
    "G": c.SetGuardian(False),
    "T": c.SetAutopilot(True),
    "u": c.SetGradientClip(1.0),
}
"""Keys whose command is confirmed by enter."""

TYPED: dict[str, tuple[str, list[Command], Command]] = {
    "w": ("0", [c.SetLossWeight("cross_entropy", 1.0)], c.SetLossWeight("cross_entropy", 0.0)),
    "b": ("8", [c.SetAccumulation(1), c.SetBatchSize(4)], c.SetAccumulation(8)),
    "K": ("1", [], c.SetKnob("tau", 1)),
    "k": ("5", [c.SetGradientClip(1.0)], c.SetGradientClip(5.0)),
    "N": ("x", [], c.AddNote("x")),
}
"""Keys with an input: what is typed, what was decided when the dialog opened, and the command that enter sends."""


def repeated(decisions: Decisions) -> list[Command]:
    """The commands that were decided more than once on one state."""
    seen: set[tuple[int, Command]] = set()
    again: list[Command] = []
    for state, command in decisions.made:
        if (id(state), command) in seen:
            again.append(command)
        seen.add((id(state), command))
    return again


def new_state(screen: SteeredScreen, decisions: Decisions) -> list[Command]:
    """The run has taken a step, and the screen has looked. Returns what was decided to show that."""
    screen.run_.train(screen.run_.state.step + 1)
    screen.look()
    return decisions.take()


@pytest.mark.parametrize("key", ONE_KEY)
async def test_a_key_that_sends_decides_once(open_screen, decisions, key):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, key)
        assert decisions.take() == [ONE_KEY[key]]
        assert screen.answer() == [ONE_KEY[key]]


async def test_a_key_that_is_refused_decides_once(run, open_screen, decisions):
    run.observe(refinements=run.state.refinements | {"progressive_upsampling"})
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "7")
        assert decisions.take() == [c.EnableRefinement("subpixel_conv")]
        assert "refused" in screen.toasts[0]


@pytest.mark.parametrize("key", CONFIRMED)
async def test_a_confirmed_command_is_decided_once_for_question_and_answer(run, open_screen, decisions, key):
    run.note(e.GradientClipSet(1.0, 2.0), status=Status.APPLIED, actor="ada")
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, key)
        assert decisions.take() == [CONFIRMED[key]]
        assert new_state(screen, decisions) == [CONFIRMED[key]]
        await press(pilot, "enter")
        assert decisions.take() == []
        assert screen.answer() == [CONFIRMED[key]]


async def test_the_gate_decides_once_to_show_itself_and_once_to_promote(open_screen, decisions):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "p")
        assert decisions.take() == [FORCED]
        await press(pilot, "enter")
        assert decisions.take() == [c.PromotePhase()]
        assert screen.answer() == [c.PromotePhase()]


async def test_a_blocked_gate_decides_once_for_each_of_its_two_commands(run, open_screen, decisions):
    run.observe(gate=RED)
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "p")
        assert decisions.take() == [FORCED]
        await press(pilot, "enter")
        assert decisions.take() == [c.PromotePhase()]
        await press(pilot, "f", "F")
        assert decisions.take() == []
        assert screen.answer() == [FORCED]


@pytest.mark.parametrize("key", TYPED)
async def test_a_typed_value_is_decided_once_for_each_text(open_screen, decisions, key):
    typed, opened, command = TYPED[key]
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, key)
        assert decisions.take() == opened
        await press(pilot, typed)
        assert decisions.take() == [command]
        await press(pilot, "enter")
        assert decisions.take() == []
        assert screen.answer() == [command]


async def test_another_term_is_decided_once(open_screen, decisions):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "w")
        decisions.take()
        await press(pilot, "down")
        assert decisions.take() == [c.SetLossWeight("dice", 0.5)]
        assert screen.screen.query_one(Input).value == "0.5"


async def test_a_list_decides_once_for_each_row_that_shows_its_effect(open_screen, decisions):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "o")
        assert decisions.take() == [c.SetOptimizer("adam"), c.SetOptimizer("adamw")]
        await press(pilot, "1")
        assert decisions.take() == []
        assert screen.answer() == [c.SetOptimizer("adam")]


async def test_a_rollback_is_decided_once_for_list_question_and_answer(open_screen, decisions):
    screen = open_screen()
    newest, older = c.Rollback("step-00000050.pt"), c.Rollback("step-00000040.pt")
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "r")
        assert decisions.take() == [newest]
        await press(pilot, "2", "enter")
        assert decisions.take() == [older]
        assert screen.answer() == [older]


async def test_remedies_are_decided_once_each(run, open_screen, decisions):
    raise_alert(run, term="boundary_aware")
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "A")
        shown = decisions.take()
        assert len(shown) == len(set(shown)) > 3
        await press(pilot, "3")
        assert decisions.take() == []
        assert screen.answer() == [c.ScaleLr(0.5)]


async def test_what_keys_would_do_is_decided_once_for_all_that_ask(open_screen, decisions):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "l")
        decisions.take()
        for _ in range(2):
            for action in ACTIONS:
                screen.steering.effect(action)
        assert c.ScaleLr(2.0) in decisions.commands and not repeated(decisions)


def test_the_cockpit_calls_decide_in_two_places():
    """A projection for the screen, and the subcommand that sends."""
    calls = re.compile(r"^from engine\.protocol\.decide import .*\bdecide\b", re.MULTILINE)
    paths = sorted((ROOT / "cockpit").rglob("*.py"))
    callers = [str(path.relative_to(ROOT)) for path in paths if calls.search(path.read_text(encoding="utf-8"))]
    assert callers == ["cockpit/cli/commands/send.py", "cockpit/session/projection.py"]
