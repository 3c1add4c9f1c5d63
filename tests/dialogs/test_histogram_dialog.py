"""The dialog for histograms: it finds a layer, takes its histograms while it stays open, and shows those kept."""

from __future__ import annotations

import pytest
from textual.widgets import Button, Input

from cockpit.ui.dialogs.action_table import without_effect
from engine.journal.task_meta import LAYERS_META, LayersMeta
from engine.outputs.inspection.histogram_file import write_histograms
from engine.outputs.inspection.layer_histograms import Histogram, LayerHistograms
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.codec import to_json
from engine.protocol.events import Activity
from tests.dialogs.screen import SIZE, press, rows

SIZES = {"unet.down.0.weight": 100, "unet.down.0.bias": 10, "head.weight": 5}


def some(peak: int, *, nans: int = 0) -> Histogram:
    bins = tuple(peak - abs(32 - number) for number in range(64))
    return Histogram(sum(bins) + nans, 0, nans, 0, -0.5, 0.5, 0.01, 0.2, 1.0, bins, -6.0, -1.0, bins)


def keep(run, layer: str, step: int) -> None:
    taken = LayerHistograms(layer, step, some(40), some(50, nans=3), None, {"activations": "the module was not called"})
    path = write_histograms(run.directory, taken)
    run.note(e.HistogramTaken(layer, step, f"histograms/{path.name}"))


@pytest.fixture
def measured(run):
    run.journal.set_meta(LAYERS_META, to_json(LayersMeta(50, SIZES)))
    run.observe(step=60)
    return run


async def show(screen, pilot, layer: str = "") -> None:
    screen.steering.dispatch("histogram", layer)
    await pilot.pause()


async def test_a_search_finds_modules_and_parameters_and_enter_takes_their_histograms(measured, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await show(screen, pilot)
        assert rows(screen)[:3] == ["network", "unet", "unet.down"]
        await press(pilot, *"dwn0", "down", "enter")
        assert [row for row in rows(screen) if "head" in row] == []
        chosen = rows(screen)[1]
        assert "asked for: taken at the next step" in screen.box
        assert screen.answer() == [c.TakeHistogram(chosen)]
        keep(measured, chosen, 61)
        screen.look()
        await pilot.pause()
        assert f"{chosen} at step 61" in screen.box and "taken at step 61" in screen.box
        assert "█" in screen.box and "! NaN 3" in screen.box and "the module was not" in screen.box


async def test_a_layer_that_is_handed_over_is_the_one_to_begin_with(measured, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await show(screen, pilot, "unet.down.0")
        assert screen.screen.query_one(Input).value == "unet.down.0" and rows(screen)[0] == "unet.down.0"
        await press(pilot, "enter")
        assert screen.answer() == [c.TakeHistogram("unet.down.0")]


async def test_earlier_steps_of_a_layer_are_reachable(measured, open_screen):
    for step in (10, 20, 30):
        keep(measured, "unet", step)
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await show(screen, pilot)
        assert "unet at step 30   3 of 3" in screen.box
        await press(pilot, "pageup", "pageup", "pageup")
        assert "unet at step 10   1 of 3" in screen.box
        await press(pilot, "pagedown")
        assert "unet at step 20   2 of 3" in screen.box


async def test_a_screen_that_only_watches_shows_what_is_kept_and_takes_nothing(measured, open_screen):
    keep(measured, "unet", 30)
    screen = open_screen(can_steer=False)
    async with screen.run_test(size=SIZE) as pilot:
        await show(screen, pilot)
        assert "unet at step 30" in screen.box and "enter takes" not in screen.box
        assert screen.screen.query_one("#take", Button).disabled
        await press(pilot, "enter")
        assert "this screen is read-only" in screen.box and screen.answer() == []


async def test_what_is_kept_can_be_looked_at_while_no_command_can_be_sent(measured, open_screen):
    screen = open_screen(can_steer=False)
    async with screen.run_test(size=SIZE):
        foretold = screen.steering.effect("histogram")
        assert foretold.enabled and foretold.text == "those kept: this screen is read-only"
        reasons = without_effect(screen.session)
        assert "checkpoint" in reasons and "histogram" not in reasons


async def test_the_reason_of_a_refusal_stands_in_the_box(measured, open_screen):
    measured.observe(activity=Activity.PAUSED)
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await show(screen, pilot)
        await press(pilot, *"zzz", "enter")
        assert "once the pause is over" in screen.box
        (request,) = measured.answer_commands(refuse="no layer is called 'zzz'")
        assert request.command == c.TakeHistogram("zzz")
        screen.look()
        await pilot.pause()
        assert "no layer is called 'zzz'" in screen.box


@pytest.mark.parametrize("size", [(80, 24), (60, 20), (200, 50)])
async def test_the_box_fits_the_screen(measured, open_screen, size):
    keep(measured, "unet", 30)
    screen = open_screen()
    async with screen.run_test(size=size) as pilot:
        await show(screen, pilot)
        box = screen.screen.query_one("#box")
        assert screen.screen.region.contains_region(box.region)
        if size[1] >= 24:
            assert box.max_scroll_y == 0, "everything is in view"


async def test_a_run_without_names_is_searched_by_what_is_typed(run, open_screen):
    screen = open_screen()
    async with screen.run_test(size=SIZE) as pilot:
        await show(screen, pilot)
        assert rows(screen) == []
        await press(pilot, *"unet", "enter")
        assert screen.answer() == [c.TakeHistogram("unet")]
