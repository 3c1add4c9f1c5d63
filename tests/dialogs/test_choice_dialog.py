"""Lists of checkpoints, remedies and optimizers: each row with its effect or why not."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from engine.journal.task_meta import TASK
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.task_spec import Metric
from engine.protocol.wire import spec_to_json
from engine.tasks.person.spec import SPEC
from tests.dialogs.screen import SIZE, press, raise_alert, rows


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


async def test_the_title_of_the_score_above_the_checkpoints_is_whole(run, open_screen):
    run.journal.set_meta(
        TASK, spec_to_json(replace(SPEC, metrics=(Metric("accuracy", low=0, high=1),), score="accuracy"))
    )
    run.observe()
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "r")
        (head,) = (line for line in screen.box.splitlines() if " loss " in line)
        row = rows(screen)[0]
        assert head.index(" accuracy ") + 9 == row.index(" 0.34 ") + 5, "the values are below the title"


async def test_remedies_stay_those_of_their_incident_when_another_one_gets_an_alert(run, open_screen):
    raise_alert(run, term="boundary_aware")
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "A")
        listed = rows(screen)
        run.note(e.AlertRaised("data stall", "slow"))
        screen.look()
        await pilot.pause()
        assert rows(screen) == listed


async def test_a_checkpoint_written_meanwhile_joins_the_list(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "r")
        run.save(good=True)
        screen.look()
        assert [row.split()[1] for row in rows(screen)] == ["60", "50", "40"]


async def test_numbers_of_any_length_keep_their_columns(run, open_screen):
    for loss, score in ((0.0001922, 0.000123456), (-1.2345e-300, math.nan)):
        run.train(run.state.step + 1)
        run.observe(loss=loss, score=score)
        run.save(good=False)
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "r")
        assert {row.index("step") for row in rows(screen)[:4]} == {38}
        assert rows(screen)[0].split()[3:5] == ["-1e-300", "NaN"]
        assert rows(screen)[1].split()[3:5] == ["0.000192", "0.00012"]


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
        assert screen.toasts == ["✗ rollback: no checkpoint exists yet: c writes one"]


REMEDIES = [
    ("1", c.DisableRefinement("boundary_aware_loss"), ("y",)),
    ("2", c.SetLossWeight("boundary_aware", 0.05), ()),
    ("3", c.ScaleLr(0.5), ()),
    ("4", c.SetAccumulation(2), ()),
    ("5", c.Rollback(), ("y",)),
    ("6", c.SetLr(1e-6), ()),
    ("7", c.SetOptimizer("adam"), ()),
]


@pytest.mark.parametrize(("digit", "command", "more"), REMEDIES)
async def test_every_remedy_is_a_digit(run, open_screen, digit, command, more):
    raise_alert(run, term="boundary_aware")
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "A", digit)
        await press(pilot, *more)
        assert screen.answer() == [command]


async def test_remedies_stand_with_their_effect_the_recommended_one_marked_impossible_ones_absent(run, open_screen):
    raise_alert(run)
    run.observe(optimizer="adam", good_checkpoint="")
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "A")
        assert "step 60 was not finite" in screen.box
        listed = rows(screen)
        assert "halve the learning rate (recommended)" in listed[0] and "✓ LR 3.00e-03 -> 1.50e-03" in listed[0]
        assert "✓ 1 -> 2" in listed[1]
        assert "✓ LR 3.00e-03 -> 1.00e-06" in listed[2]
        assert len(listed) == 3, "no refinement is named, none is good to go back to, the optimizer is adam"
        await press(pilot, "4", "9")
        assert len(screen.screen_stack) == 2
        assert screen.answer() == []


@pytest.mark.parametrize("width", [60, 80, 200])
async def test_effects_that_do_not_fit_beside_their_labels_stand_below_them(run, open_screen, width):
    raise_alert(run, term="boundary_aware")
    screen = open_screen()
    async with screen.run_test(size=(width, 40)) as pilot:
        await press(pilot, "A")
        listed = [row.split("\n") for row in rows(screen)]
        room = screen.screen.query_one("OptionList").scrollable_content_region.width
        assert listed[0] == ["1  switch off boundary_aware_loss (recommended)", "     ✓ boundary_aware_loss off"]
        assert all(len(line) <= room and len(row) == 2 for row in listed for line in row)


async def test_remedies_are_for_the_newest_alert_that_was_not_acknowledged(run, open_screen):
    raise_alert(run, term="boundary_aware")
    run.train(70)
    run.note(e.AlertRaised("plateau", "the loss stands still"))
    screen = open_screen()
    newest = screen.session.entries[-1]
    screen.session.incidents.acknowledge()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "A")
        assert "active_contour is NaN" in screen.box
        await press(pilot, "escape")
        screen.steering.dispatch("remedies", str(newest.id))
        await pilot.pause()
        assert "the loss stands still" in screen.box


async def test_an_alert_that_no_command_mends_says_what_does(run, open_screen):
    run.note(e.RunFailed("ValueError: boom"))
    run.observe(activity=e.Activity.RUNNING)
    run.observe(activity=e.Activity.FAILED)
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "A")
        assert screen.toasts == ["✗ remedies: refused: the run has failed"]


async def test_the_optimizer_menu_names_the_remedy_and_refuses_the_one_that_is_on(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await press(pilot, "o")
        assert "If training is still unstable, try Adam instead of AdamW" in screen.box
        await press(pilot, "2")
        assert len(screen.screen_stack) == 2
        await press(pilot, "1")
        assert screen.answer() == [c.SetOptimizer("adam")]
