"""The bottom line keeps what is needed most in the present state, at every width."""

from __future__ import annotations

from itertools import product

import pytest

from cockpit.preferences.key_binding import KeyBinding
from cockpit.preferences.key_names import shown_key
from cockpit.preferences.keymap import KEYS
from cockpit.ui.screens.key_bar import Present, fitting, label_of, wanted
from cockpit.ui.screens.sizes import MIN_WIDTH
from cockpit.ui.screens.tab_bar import TABS

PRESENTS = [
    Present(tab, paused, steerable, alerted)
    for tab, paused, steerable, alerted in product(TABS.values(), *[(True, False)] * 3)
]
GROUPS = {key.action: key.group for key in KEYS}


def chosen_for(present: Present, width: int) -> list[KeyBinding]:
    return fitting(wanted(KEYS, present), width, lambda key: label_of(key, present))


def offered(present: Present, width: int) -> set[str]:
    return {key.action for key in chosen_for(present, width)}


@pytest.mark.parametrize("width", [0, 5, 20, 58, 78, 118, 198])
@pytest.mark.parametrize("present", PRESENTS, ids=str)
def test_no_line_is_wider_than_the_terminal(width, present):
    chosen = chosen_for(present, width)
    assert len("  ".join(f"{shown_key(key.keys[0])} {label_of(key, present)}" for key in chosen)) <= width
    assert len(set(chosen)) == len(chosen)


@pytest.mark.parametrize("present", PRESENTS, ids=str)
def test_the_way_out_and_the_map_of_keys_are_the_last_to_go(present):
    assert offered(present, 14) == {"key_map", "quit"}


@pytest.mark.parametrize("width", [MIN_WIDTH - 2, 78, 118, 198])
def test_a_paused_run_offers_to_go_on_and_to_take_one_step(width):
    assert {"pause", "step"} <= offered(Present(paused=True), width)


@pytest.mark.parametrize("width", [MIN_WIDTH - 2, 78, 118, 198])
@pytest.mark.parametrize("paused", [True, False])
def test_an_alert_brings_its_keys_and_leaves_the_pause(width, paused):
    actions = offered(Present(paused=paused, alerted=True), width)
    assert {"acknowledge", "step" if paused else "remedies", "pause"} <= actions
    assert "acknowledge" not in offered(Present(paused=paused), 198)


def test_a_run_that_is_over_offers_no_steering():
    over = offered(Present(steerable=False), 198)
    assert "steer" not in {GROUPS[action] for action in over} and "zoom_in" in over
    assert "acknowledge" in offered(Present(steerable=False, alerted=True), 78)


@pytest.mark.parametrize("tab", [tab for tab in TABS.values() if tab != "charts"])
def test_keys_of_the_charts_are_offered_where_there_are_charts(tab):
    assert "charts" not in {GROUPS[action] for action in offered(Present(tab), 198)}


def test_eighty_columns_hold_the_steering_that_matters():
    wanted_here = {"pause", "lower_lr", "raise_lr", "promote", "help", "key_map", "quit"}
    assert wanted_here <= offered(Present(), 78)
