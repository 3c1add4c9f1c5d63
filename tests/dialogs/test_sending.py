"""Every steering key: the command that reaches the engine, what is shown until it answers, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from textual.widgets import Input

from cockpit.preferences.keymap import lookup
from cockpit.ui.dialogs.action_table import ACTIONS
from engine.journal.task_meta import TASK
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.events import Activity, Status
from engine.protocol.task_spec import Unsupported
from engine.protocol.wire import OPS, spec_to_json
from engine.tasks.person.spec import SPEC
from tests.dialogs.conftest import RED
from tests.dialogs.screen import SIZE, STEERING


@dataclass(frozen=True)
class Pressed:
    """Keys, the commands they send, and a part of what is shown while these are on their way."""

    keys: tuple[str, ...]
    sent: tuple[c.Command, ...]
    pending: str


PRESSED = {
    "pause": Pressed((), (c.Pause(),), "pause: running -> paused"),
    "step": Pressed((), (c.RunSteps(1),), "one step: 1 step, then pause"),
    "lower_lr": Pressed((), (c.ScaleLr(0.5),), "lower LR: LR 3.00e-03 -> 1.50e-03"),
    "raise_lr": Pressed((), (c.ScaleLr(2.0),), "raise LR: LR 3.00e-03 -> 6.00e-03"),
    "set_lr": Pressed(
        ("0", ".", "0", "0", "4", "enter"), (c.SetLr(0.004),), "set LR to 4.00e-03: LR 3.00e-03 -> 4.00e-03"
    ),
    "promote": Pressed(("enter",), (c.PromotePhase(),), "promote: phase 1 -> 2, on: active_contour_loss"),
    "demote": Pressed(("enter",), (c.DemotePhase(),), "demote: phase 1 -> 0, off: boundary_refinement"),
    "toggle_1": Pressed(("y",), (c.DisableRefinement("boundary_refinement"),), "switch off boundary_refinement"),
    "toggle_2": Pressed(("y",), (c.DisableRefinement("boundary_aware_loss"),), "switch off boundary_aware_loss"),
    "toggle_3": Pressed(("y",), (c.EnableRefinement("active_contour_loss"),), "switch on active_contour_loss"),
    "toggle_4": Pressed(("y",), (c.EnableRefinement("contour_detection"),), "switch on contour_detection"),
    "toggle_5": Pressed(("y",), (c.EnableRefinement("distance_transform"),), "switch on distance_transform"),
    "toggle_6": Pressed(("y",), (c.EnableRefinement("progressive_upsampling"),), "switch on progressive_upsampling"),
    "toggle_7": Pressed(("y",), (c.EnableRefinement("subpixel_conv"),), "switch on subpixel_conv"),
    "weight": Pressed(("down", "0", ".", "7", "enter"), (c.SetLossWeight("dice", 0.7),), "weight of dice: 0.5 -> 0.7"),
    "knob": Pressed(("1", "enter"), (c.SetKnob("tau", 1),), "set tau to 1: tau 0.7 -> 1"),
    "checkpoint": Pressed((), (c.SaveCheckpoint(),), "checkpoint: written at the step boundary"),
    "rollback": Pressed(("2", "enter"), (c.Rollback("step-00000040.pt"),), "roll back to step-00000040.pt"),
    "validate": Pressed((), (c.Validate(),), "validate: runs at the step boundary"),
    "optimizer": Pressed(("enter",), (c.SetOptimizer("adam"),), "optimizer: adamw -> adam"),
    "batch": Pressed(("2", "tab", "8", "enter"), (c.SetAccumulation(2), c.SetBatchSize(8)), "accumulation: 1 -> 2"),
    "clip": Pressed(("0", ".", "5", "enter"), (c.SetGradientClip(0.5),), "gradient clip: 1 -> 0.5"),
    "note": Pressed(("o", "k", "space", "l", "enter"), (c.AddNote("ok l"),), "note: note: ok l"),
    "undo": Pressed(("enter",), (c.SetGradientClip(1.0),), "gradient clip: 0.25 -> 1"),
    "guardian": Pressed(("enter",), (c.SetGuardian(False),), "guardian off: on -> off"),
    "autopilot": Pressed(("enter",), (c.SetAutopilot(True),), "autopilot on: off -> on"),
    "remedies": Pressed(("1",), (c.ScaleLr(0.5),), "lower LR: LR 3.00e-03 -> 1.50e-03"),
}


def prepare(run, action):
    """What has to have happened before, for the action to do something."""
    if action == "undo":
        run.note(e.GradientClipSet(1.0, 0.25), status=Status.APPLIED, actor="cockpit")
    if action == "remedies":
        run.note(e.SpikeDetected("loss/total", 60, 9.0, 1.0, 12.0))


def prepare_all(run):
    for action in PRESSED:
        prepare(run, action)


async def press(pilot, action, keys=()):
    for name in (lookup(action).keys[0], *keys):
        await pilot.press(name)
        await pilot.pause()


def test_every_key_of_the_group_is_tried():
    assert set(PRESSED) == {key.action for key in STEERING}


@pytest.mark.parametrize("activity", [Activity.RUNNING, Activity.PAUSED])
@pytest.mark.parametrize("action", PRESSED)
async def test_a_key_sends_its_command_shows_it_pending_and_then_its_outcome(run, open_screen, clock, action, activity):
    prepare(run, action)
    run.observe(activity=activity)
    screen, pressed = open_screen(), PRESSED[action]
    sent, shown = pressed.sent, pressed.pending
    if action == "pause" and activity is Activity.PAUSED:
        sent, shown = (c.Resume(),), "resume: paused -> running"
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, action, pressed.keys)
        screen.look()
        assert shown in screen.strip
        assert "waits for the" in screen.strip and "0 s" in screen.strip
        clock.advance(3)
        screen.look()
        assert "3 s" in screen.strip
        assert screen.answer() == list(sent)
        assert screen.strip == ""
        told = [line for toast in screen.toasts for line in toast.splitlines()]
        assert len(told) == len(sent)
        assert all(line.startswith("✓ ") and "applied at step 60" in line for line in told)


async def test_a_screen_that_only_watches_says_so_for_every_key(run, open_screen):
    prepare_all(run)
    screen = open_screen(can_steer=False)
    async with screen.run_test(size=SIZE) as pilot:
        for action in PRESSED:
            screen.toasts.clear()
            await press(pilot, action)
            assert len(screen.screen_stack) == 1, action
            assert screen.answer() == [], action
            assert len(screen.toasts) == 1 and screen.toasts[0].endswith("refused: this screen is read-only"), action
            assert not screen.steering.effect(action).enabled, action


async def test_a_run_that_is_over_is_the_reason_for_every_key(run, open_screen):
    prepare_all(run)
    run.note(e.RunFinished("all steps done", 30.0))
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        for action in PRESSED:
            screen.toasts.clear()
            await press(pilot, action)
            assert len(screen.screen_stack) == 1, action
            assert screen.answer() == [], action
            assert len(screen.toasts) == 1 and screen.toasts[0].endswith("refused: the run is finished"), action
            assert screen.steering.effect(action).text == "the run is finished", action


async def test_a_task_that_supports_no_command_says_why_for_every_key(run, open_screen):
    prepare_all(run)
    reasons = {op: f"no {op} here; use the loop" for op in OPS}
    spec = replace(SPEC, unsupported=tuple(Unsupported(op, reason) for op, reason in reasons.items()))
    run.journal.set_meta(TASK, spec_to_json(spec))
    run.note(e.TaskDescribed(spec))
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        for action in PRESSED:
            screen.toasts.clear()
            await press(pilot, action)
            assert len(screen.screen_stack) == 1, action
            assert screen.answer() == [], action
            assert not screen.steering.effect(action).enabled, action
            ops = ACTIONS[action].ops
            said = "; ".join(reasons[op] for op in ops) if ops else ""
            assert len(screen.toasts) == 1 and screen.toasts[0].startswith("✗ ") and said in screen.toasts[0], action


async def test_escape_leaves_a_dialog_without_a_command(run, open_screen):
    prepare_all(run)
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        for action in (name for name, pressed in PRESSED.items() if pressed.keys):
            await press(pilot, action)
            assert len(screen.screen_stack) == 2, action
            await pilot.press("escape")
            await pilot.pause()
            assert len(screen.screen_stack) == 1, action
            assert screen.answer() == [], action
            assert screen.toasts == [], action


@pytest.mark.parametrize("size", [pytest.param((80, 24), marks=pytest.mark.slow), (60, 20)])
async def test_a_dialog_fits_the_screen_with_its_buttons(run, open_screen, size):
    prepare_all(run)
    screen = open_screen()
    async with screen.run_test(size=size) as pilot:
        for action in (name for name, pressed in PRESSED.items() if pressed.keys):
            await press(pilot, action)
            box = screen.screen.query_one("#box")
            assert screen.screen.region.contains_region(box.region), action
            if size[1] >= 24:
                assert all(
                    box.region.contains_region(button.region)
                    for button in screen.screen.query("Button").results()
                    if button.display
                ), action
            await pilot.press("escape")
            await pilot.pause()


async def test_a_command_that_the_rule_book_refuses_is_not_sent(run, open_screen):
    run.observe(refinements=run.state.refinements | {"progressive_upsampling"})
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await pilot.press("7")
        await pilot.pause()
        assert screen.answer() == []
        assert screen.toasts == [
            "✗ switch on subpixel_conv: refused: subpixel_conv and progressive_upsampling exclude each other; "
            "disable that one first"
        ]


async def test_a_command_that_the_engine_refuses_gives_its_reason(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await pilot.press("space")
        await pilot.pause()
        run.observe(activity=Activity.PAUSED)
        assert screen.answer() == [c.Pause()]
        assert screen.toasts == ["✗ pause: refused: already paused"]


async def test_a_clamped_command_says_to_what_and_why(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "clip", ("9", "9", "9", "9"))
        assert "will be clamped: 1 -> 1000 (the gradient clip's upper bound is 1000)" in screen.box
        await pilot.press("enter")
        await pilot.pause()
        assert screen.answer() == [c.SetGradientClip(9999.0)]
        assert screen.toasts == [
            "! gradient clip: clamped at step 60: gradient clip 1 -> 1000: the gradient clip's upper bound is 1000"
        ]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "the learning rate is 0.003 already: type another one"),
        ("3e-5", "3.00e-03 -> 3.00e-05"),
        ("30", "will be clamped"),
        ("0", "must be a positive number, not 0"),
        ("fast", "'fast' is not a number"),
    ],
)
async def test_an_exact_learning_rate_is_judged_while_it_is_typed(run, open_screen, typed, said):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "set_lr", tuple({"-": "minus", ".": "full_stop"}.get(letter, letter) for letter in typed))
        assert said in screen.box and "one command raises it at most x10" in screen.box


async def test_a_second_press_foretells_what_it_adds_to_the_first(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await pilot.press("l")
        await pilot.pause()
        assert screen.steering.effect("lower_lr").text == "LR 1.50e-03 -> 7.50e-04"
        await pilot.press("l", "l", "l")
        screen.look()
        first, second, third, more = screen.strip.splitlines()
        assert "3.00e-03 -> 1.50e-03" in first
        assert "1.50e-03 -> 7.50e-04" in second and "7.50e-04 -> 3.75e-04" in third
        assert more == "… and 1 more"
        assert screen.answer() == [c.ScaleLr(0.5)] * 4
        assert screen.toasts[-1] == "✓ lower LR: applied at step 60: learning rate 3.75e-04 -> 1.88e-04"


async def test_a_pause_that_is_on_its_way_is_not_sent_again(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await pilot.press("space", "space")
        await pilot.pause()
        assert screen.toasts == ["✗ pause: pause is on its way already"]
        assert not screen.steering.effect("pause").enabled
        assert screen.answer() == [c.Pause()]


async def test_a_pause_within_the_last_granted_step_is_not_sent(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        run.observe(steps_until_pause=1)
        screen.look()
        await press(pilot, "pause")
        assert screen.toasts == ["✗ pause: the run pauses after this step anyway"]
        run.observe(steps_until_pause=20)
        screen.look()
        await press(pilot, "pause")
        assert screen.answer() == [c.Pause()]


async def test_the_pause_key_resumes_a_run_that_is_seen_paused_before_its_answer_is_read(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "pause")
        run.observe(activity=Activity.PAUSED)
        screen.look()
        assert "pause" in screen.strip
        await press(pilot, "pause")
        assert screen.toasts == []
        assert screen.answer() == [c.Pause(), c.Resume()]


async def test_a_run_that_died_is_the_reason(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        run.close()
        await pilot.press("c")
        await pilot.pause()
        assert len(screen.toasts) == 1
        assert screen.toasts[0].startswith("✗ checkpoint: refused: the run 'calm' is not running")


@pytest.mark.parametrize(
    ("action", "told"),
    [
        ("pause", "running -> paused"),
        ("lower_lr", "LR 3.00e-03 -> 1.50e-03"),
        ("raise_lr", "LR 3.00e-03 -> 6.00e-03"),
        ("set_lr", "3.00e-03 now"),
        ("promote", "phase 1 -> 2, on: active_contour_loss"),
        ("demote", "phase 1 -> 0, off: boundary_refinement, boundary_aware_loss"),
        ("toggle_3", "active_contour_loss on"),
        ("rollback", "last good: back 20 steps, from 60 to 40"),
        ("optimizer", "adamw now"),
        ("knob", "tau 0.7, mixup off, mode soft"),
        ("batch", "1 batch per update, 4 regions per batch now"),
        ("clip", "1 now"),
        ("undo", "gradient clip 1 -> 0.25 at step 60: 0.25 -> 1"),
        ("guardian", "on -> off"),
        ("remedies", "loss/total spiked"),
    ],
)
def test_what_a_key_would_do_is_told_before(run, open_screen, action, told):
    prepare(run, action)
    effect = open_screen().steering.effect(action)
    assert effect.enabled and effect.text == told


@pytest.mark.parametrize("action", PRESSED)
def test_every_action_has_an_effect_in_words(run, open_screen, action):
    prepare(run, action)
    effect = open_screen().steering.effect(action)
    assert effect.enabled and effect.text


def test_a_red_gate_is_told_before_it_is_opened(run, open_screen):
    run.observe(gate=RED)
    effect = open_screen().steering.effect("promote")
    assert effect.enabled and effect.text == "gate to phase 2 blocked: non-finite steps"


def test_an_action_that_would_do_nothing_says_why(run, open_screen):
    run.observe(phase=4)
    steering = open_screen().steering
    assert (steering.effect("promote").enabled, steering.effect("promote").text) == (False, "phase 4 is the last")
    assert steering.effect("undo").text == "no change by hand to take back yet"
    assert steering.effect("remedies").text == "there is no alert to find a remedy for"
    assert not steering.effect("undo").enabled


async def test_markup_in_a_note_is_shown_as_it_is(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "note")
        screen.screen.query_one(Input).value = "[red]x[/] \x1b[31m"
        await pilot.press("enter")
        await pilot.pause()
        screen.look()
        assert "[red]x[/] \\x1b[31m" in screen.strip
        screen.answer()
        assert screen.toasts == ["✓ note: applied at step 60: note: [red]x[/] \\x1b[31m"]
