"""The dialogs: what they say, that they stay true while they are open, and that danger takes a second thought."""

from __future__ import annotations

import pytest
from textual.widgets import Button, Input, OptionList

from cockpit.session.outbox import Outbox
from cockpit.steering.gate import GateDialog
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.events import Activity, Status
from tests.steering.conftest import GREEN, RED

SIZE = (80, 24)


async def press(pilot, *keys):
    for key in keys:
        await pilot.press(key)
    await pilot.pause()


def rows(screen):
    listed = screen.screen.query_one(OptionList)
    return [str(listed.get_option_at_index(index).prompt) for index in range(listed.option_count)]


# --- the gate -------------------------------------------------------------------------------


async def test_the_gate_shows_every_check_with_its_value_and_mark_and_what_comes_on(run, open_screen):
    run.observe(gate=RED)
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "p")
        lines = screen.box.splitlines()
        assert "✓ steps in phase    220  must be >= 200" in lines
        assert "✗ non-finite steps    2  must be 0" in lines
        assert "Phase 2 of 4 adds active_contour_loss" in lines
        assert "  loss active_contour: weight 0.05, chance 0.9" in lines
        assert "A checkpoint is written first" in screen.box and "to phase 1 by itself" in screen.box
        assert "✗ 1 check is red: f goes on to a forced promotion" in lines


async def test_enter_does_nothing_at_a_red_gate_and_says_so(run, open_screen):
    run.observe(gate=RED)
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "p", "enter", "F", "enter")
        assert isinstance(screen.screen, GateDialog)
        assert "enter does nothing" in screen.box
        assert screen.answer() == []


async def test_forcing_takes_two_different_keys_and_says_that_it_is_recorded(run, open_screen):
    run.observe(gate=RED)
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "p", "f", "f", "enter")
        assert isinstance(screen.screen, GateDialog)
        assert "F promotes all the same, and it is recorded as forced" in screen.box
        await press(pilot, "F")
        assert screen.answer() == [c.PromotePhase(force=True)]
        assert "forced against a red check" in screen.toasts[0]


async def test_a_check_that_turns_green_opens_the_gate_that_is_shown(run, open_screen):
    run.observe(gate=RED)
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "p", "f")
        run.observe(gate=GREEN)
        screen.look()
        assert "✓ the gate is open: enter promotes" in screen.box
        await press(pilot, "F")
        assert isinstance(screen.screen, GateDialog)
        await press(pilot, "enter")
        assert screen.answer() == [c.PromotePhase()]


async def test_a_check_that_turns_red_shuts_the_gate_that_is_shown(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "p")
        run.observe(gate=RED)
        screen.look()
        await press(pilot, "enter")
        assert isinstance(screen.screen, GateDialog)
        assert screen.answer() == []


async def test_a_gate_says_so_when_the_run_ends_meanwhile(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "p")
        run.note(e.RunFinished("all steps done", 3.0))
        screen.look()
        assert "✗ refused: the run is finished" in screen.box
        await press(pilot, "enter", "f", "F")
        assert isinstance(screen.screen, GateDialog)


async def test_a_gate_that_nothing_was_measured_for_says_so(run, open_screen):
    run.observe(gate=(), guardian=False)
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "p")
        assert "no check has been measured yet" in screen.box
        assert "the guardian is off" in screen.box


async def test_the_last_phase_has_no_gate(run, open_screen):
    run.observe(phase=4)
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "p")
        assert len(screen.screen_stack) == 1
        assert screen.toasts == ["✗ promote: refused: phase 4 is the last"]


# --- confirming -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("P", "phase 1 -> 0, off: boundary_refinement, boundary_aware_loss"),
        ("1", "Without boundary_refinement the run stands in phase 0 instead of 1."),
        ("4", "contour_detection belongs to phase 3, the run is in phase 1"),
        ("6", "progressive_upsampling is in no phase, the run is in phase 1"),
        ("G", "nothing lowers the learning rate"),
        ("T", "It never forces a gate."),
    ],
)
async def test_what_is_not_easily_taken_back_is_asked_about_with_its_effect(run, open_screen, key, said):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, key)
        assert said in screen.box
        await press(pilot, "n")
        assert len(screen.screen_stack) == 1
        assert screen.answer() == []


async def test_what_belongs_to_the_phase_comes_on_again_without_a_question(run, open_screen):
    run.observe(phase=2, refinements=run.state.refinements | {"active_contour_loss"})
    run.observe(refinements=run.state.refinements - {"active_contour_loss"})
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "3")
        assert screen.answer() == [c.EnableRefinement("active_contour_loss")]


async def test_the_guardian_comes_on_without_a_question(run, open_screen):
    run.observe(guardian=False)
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "G")
        assert screen.answer() == [c.SetGuardian(True)]


async def test_a_confirmation_follows_what_happens_meanwhile(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "G")
        run.observe(guardian=False)
        screen.look()
        assert "✗ refused: the guardian is off already" in screen.box
        await press(pilot, "enter")
        assert len(screen.screen_stack) == 2
        assert screen.answer() == []


# --- values ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "verdict"),
    [
        ("0.7", "✓ 0.5 -> 0.7"),
        ("250", "! will be clamped: 0.5 -> 100 (a loss weight's upper bound is 100)"),
        ("-1", "✗ refused: a loss weight must be zero or more, not -1"),
        ("nan", "✗ refused: a loss weight must be zero or more, not nan"),
        ("abc", "✗ 'abc' is no number"),
        ("", "✗ type a number"),
        ("0.5", "= as it is now"),
    ],
)
async def test_a_weight_is_judged_while_it_is_typed(run, open_screen, typed, verdict):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "w", "down")
        screen.screen.query_one(Input).value = typed
        await pilot.pause()
        assert screen.box.splitlines()[-1] == verdict or verdict in screen.box
        await press(pilot, "enter")
        sendable = verdict[0] in "✓!"
        assert len(screen.screen_stack) == (1 if sendable else 2)
        assert screen.answer() == ([c.SetLossWeight("dice", float(typed))] if sendable else [])


async def test_the_terms_stand_with_weight_raw_loss_and_chance(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "w")
        listed = {row.split()[0]: row.split()[1:] for row in rows(screen)}
        assert listed["dice"] == ["0.5", "0.6236", "0.6667"]
        assert listed["contour"] == ["0.05", "off", "-"]
        assert screen.screen.query_one(Input).value == "1"


async def test_a_term_can_be_asked_for(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        screen.steering.dispatch("weight", "boundary_aware")
        await pilot.pause()
        assert screen.screen.query_one(Input).value == "0.1"
        await press(pilot, "up")
        assert screen.screen.query_one(Input).value == "0.3"


async def test_a_weight_that_changes_meanwhile_is_shown(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "w")
        run.note(e.LossWeightSet("dice", 0.5, 0.9), status=Status.APPLIED, actor="ada")
        screen.look()
        assert any(row.split()[:2] == ["dice", "0.9"] for row in rows(screen))


@pytest.mark.parametrize(("typed", "said"), [("2.5", "'2.5' is no whole number"), ("0", "must be at least 1, not 0")])
async def test_a_batch_that_cannot_be_keeps_the_box_open(run, open_screen, typed, said):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "b")
        screen.screen.query_one("#value1", Input).value = typed
        await press(pilot, "enter")
        assert said in screen.box
        assert screen.focused is screen.screen.query_one("#value1")
        assert screen.answer() == []


async def test_enter_on_an_unchanged_value_says_that_nothing_is_changed(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "b", "enter")
        assert "nothing is changed: type another value" in screen.box
        assert screen.answer() == []


async def test_an_empty_note_is_not_sent(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "N", "space", "enter")
        assert "✗ refused: the note is empty" in screen.box
        assert screen.answer() == []


# --- choosing -------------------------------------------------------------------------------


async def test_checkpoints_are_listed_newest_first_with_what_is_known_of_them(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "r")
        first, second = rows(screen)
        assert first.split() == ["1", "50", "10", "1.673", "0.34", "step", "-", "1", "min", "05", "s"]
        assert second.split()[:8] == ["2", "40", "20", "1.569", "0.34", "step", "✓", "last"]
        await press(pilot, "down", "enter")
        assert "It goes back 20 steps, from 60 to 40." in screen.box
        assert "Steering is kept" in screen.box
        await press(pilot, "enter")
        assert screen.answer() == [c.Rollback("step-00000040.pt")]


async def test_a_checkpoint_written_meanwhile_joins_the_list(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "r")
        run.save(good=True)
        screen.look()
        assert [row.split()[1] for row in rows(screen)] == ["60", "50", "40"]


async def test_a_rollback_named_by_its_checkpoint_only_asks_once(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        screen.steering.dispatch("rollback", "step-00000040.pt")
        await press(pilot, "enter")
        assert screen.answer() == [c.Rollback("step-00000040.pt")]


async def test_without_checkpoints_the_key_says_so(run, open_screen):
    run.observe(checkpoints=())
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "r")
        assert screen.toasts == ["✗ rollback: refused: no checkpoint exists yet: c writes one"]


def alert(run, **fields):
    run.note(e.AlertRaised("non_finite", "step 60: active_contour is NaN", **fields))


REMEDIES = [
    ("1", c.SetLr(1e-6), ()),
    ("2", c.SetAccumulation(2), ()),
    ("3", c.SetOptimizer("adam"), ()),
    ("4", c.DisableRefinement("boundary_aware_loss"), ("y",)),
    ("5", c.Rollback(), ("y",)),
]


@pytest.mark.parametrize(("digit", "command", "more"), REMEDIES)
async def test_every_remedy_is_a_digit(run, open_screen, digit, command, more):
    alert(run, term="boundary_aware")
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "A", digit)
        await press(pilot, *more)
        assert screen.answer() == [command]


async def test_remedies_stand_with_their_effect_or_why_not(run, open_screen):
    alert(run)
    run.observe(optimizer="adam", good_checkpoint="")
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "A")
        assert "non_finite: step 60: active_contour is NaN" in screen.box
        listed = rows(screen)
        assert "✓ LR 3.00e-03 -> 1.00e-06" in listed[0]
        assert "✓ 1 -> 2" in listed[1]
        assert "✗ the optimizer is adam already" in listed[2]
        assert "✗ the alert names no refinement" in listed[3]
        assert "✗ no good checkpoint exists yet" in listed[4]
        await press(pilot, "3", "4", "5", "9", "enter")
        assert len(screen.screen_stack) == 2
        assert screen.answer() == []


async def test_remedies_are_for_the_newest_alert_that_was_not_acknowledged(run, open_screen):
    alert(run, term="boundary_aware")
    run.train(70)
    run.note(e.AlertRaised("plateau", "the loss stands still"))
    screen = open_screen()
    newest = screen.session.entries[-1]
    screen.steering.acknowledge(newest.id)
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "A")
        assert "active_contour is NaN" in screen.box
        await press(pilot, "escape")
        screen.steering.dispatch("remedies", str(newest.id))
        await pilot.pause()
        assert "the loss stands still" in screen.box


async def test_the_optimizer_menu_names_the_remedy_and_refuses_the_one_that_is_on(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "o")
        assert "SEED.md, if still unstable: try Adam instead of AdamW" in screen.box
        await press(pilot, "2")
        assert len(screen.screen_stack) == 2
        await press(pilot, "1")
        assert screen.answer() == [c.SetOptimizer("adam")]


# --- undo -----------------------------------------------------------------------------------


async def test_undoing_twice_walks_back_through_what_was_sent(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "l")
        assert screen.answer() == [c.ScaleLr(0.5)]
        await press(pilot, "o", "1")
        assert screen.answer() == [c.SetOptimizer("adam")]
        await press(pilot, "u")
        assert "Takes back what cockpit did at step 60: optimizer adamw -> adam." in screen.box
        await press(pilot, "enter")
        assert screen.answer() == [c.SetOptimizer("adamw")]
        await press(pilot, "u", "enter")
        assert screen.answer() == [c.ScaleLr(2.0)]
        assert screen.session.state.lr == 3e-3
        await press(pilot, "u")
        assert screen.toasts[-1] == "✗ undo: refused: nothing is left to take back"


async def test_an_undo_on_its_way_is_waited_for(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "l")
        screen.answer()
        await press(pilot, "u", "enter", "u")
        assert screen.toasts[-1] == "✗ undo: refused: the undo before is still on its way"
        assert screen.answer() == [c.ScaleLr(2.0)]


async def test_an_undo_that_the_journal_takes_late_still_counts_as_one(run, open_screen, monkeypatch):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "l")
        screen.answer()
        with monkeypatch.context() as busy:
            busy.setattr(Outbox, "_try", lambda outbox, command: None)
            await press(pilot, "u", "enter")
            assert screen.session.pending[0].id < 0
            screen.look()
            assert "0 s" in screen.strip
        screen.clock.advance(2)
        screen.look()
        assert screen.session.pending[0].id > 0
        assert "2 s" in screen.strip
        assert screen.answer() == [c.ScaleLr(2.0)]
        await press(pilot, "u")
        assert screen.toasts[-1] == "✗ undo: refused: nothing is left to take back"


async def test_a_note_refuses_and_the_next_press_goes_past_it(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "l")
        screen.answer()
        await press(pilot, "N", "x", "enter")
        screen.answer()
        await press(pilot, "u")
        assert screen.toasts[-1] == (
            "✗ undo: refused: a note that was written stays (once more: the intervention before it)"
        )
        await press(pilot, "u", "enter")
        assert screen.answer() == [c.ScaleLr(2.0)]


async def test_an_undo_that_the_rule_book_refuses_says_why(run, open_screen):
    run.note(e.Paused("running"), status=Status.APPLIED, actor="ada")
    run.observe(activity=Activity.RUNNING)
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "u")
        assert screen.toasts[-1].startswith("✗ undo: refused: paused: cannot be taken back, not paused")


async def test_a_demotion_is_taken_back_through_the_gate(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "P", "enter")
        assert screen.answer() == [c.DemotePhase()]
        run.observe(gate=RED)
        screen.look()
        await press(pilot, "u")
        assert isinstance(screen.screen, GateDialog)
        await press(pilot, "enter", "f", "F")
        assert screen.answer() == [c.PromotePhase(force=True)]
        await press(pilot, "u")
        assert screen.toasts[-1] == "✗ undo: refused: nothing is left to take back"


# --- what panels ask for --------------------------------------------------------------------


async def test_a_command_from_a_panel_is_asked_about_like_one_from_a_key(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        screen.steering.steer(c.DisableRefinement("boundary_refinement"))
        await pilot.pause()
        assert len(screen.screen_stack) == 2
        await press(pilot, "enter")
        assert screen.answer() == [c.DisableRefinement("boundary_refinement")]
        screen.steering.steer(c.PromotePhase(force=True))
        await pilot.pause()
        assert isinstance(screen.screen, GateDialog)
        assert screen.answer() == []


async def test_a_refinement_can_be_toggled_by_its_name(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        screen.steering.dispatch("toggle", "boundary_refinement")
        await press(pilot, "enter")
        assert screen.answer() == [c.DisableRefinement("boundary_refinement")]
        screen.steering.dispatch("toggle", "boundary")
        assert screen.toasts[-1] == "✗ toggle: refused: no refinement is called 'boundary'"


# --- the mouse ------------------------------------------------------------------------------


CLICKED = [
    ("p", ("#promote",), (c.PromotePhase(),)),
    ("P", ("#confirm",), (c.DemotePhase(),)),
    ("u", ("#confirm",), (c.SetGradientClip(1.0),)),
    ("o", ("#choose",), (c.SetOptimizer("adam"),)),
    ("r", ("#choose", "#confirm"), (c.Rollback("step-00000050.pt"),)),
]


@pytest.mark.parametrize(("key", "clicks", "sent"), CLICKED)
async def test_buttons_do_what_the_keys_do(run, open_screen, key, clicks, sent):
    run.note(e.GradientClipSet(1.0, 0.25), status=Status.APPLIED, actor="cockpit")
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, key)
        for selector in clicks:
            await pilot.click(selector)
            await pilot.pause()
        assert screen.answer() == list(sent)


async def test_forcing_by_mouse_takes_two_different_buttons(run, open_screen):
    run.observe(gate=RED)
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "p")
        assert screen.screen.query_one("#promote", Button).disabled
        assert not screen.screen.query_one("#force", Button).display
        await pilot.click("#arm")
        await pilot.pause()
        assert not screen.screen.query_one("#arm", Button).display
        await pilot.click("#force")
        await pilot.pause()
        assert screen.answer() == [c.PromotePhase(force=True)]


@pytest.mark.parametrize("key", ["p", "P", "w", "r", "o", "b", "k", "N", "G", "6"])
async def test_every_dialog_is_left_by_its_button(run, open_screen, key):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, key)
        await pilot.click("#leave")
        await pilot.pause()
        assert len(screen.screen_stack) == 1
        assert screen.answer() == []


async def test_a_click_on_a_row_chooses_it(run, open_screen):
    alert(run)
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "A")
        await pilot.click(OptionList, offset=(4, 1))
        await pilot.pause()
        assert screen.answer() == [c.SetAccumulation(2)]


async def test_a_click_on_a_term_chooses_it_and_typing_goes_on(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "w")
        await pilot.click(OptionList, offset=(4, 1))
        await press(pilot, "2")
        await pilot.click("#submit")
        await pilot.pause()
        assert screen.answer() == [c.SetLossWeight("dice", 2.0)]
