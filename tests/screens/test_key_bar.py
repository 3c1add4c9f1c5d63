"""The bottom line keeps what is needed most, in the order of the key table."""

from __future__ import annotations

import pytest

from cockpit.keys import KEYS, shown_key
from cockpit.screens.key_bar import fitting

FOOTER = [key for key in KEYS if key.footer]


@pytest.mark.parametrize("width", [0, 5, 20, 58, 78, 118, 198])
def test_no_line_is_wider_than_the_terminal(width):
    chosen = fitting(FOOTER, width, lambda key: key.label)
    text = "  ".join(f"{shown_key(key.keys[0])} {key.label}" for key in chosen)
    assert len(text) <= width
    assert chosen == [key for key in FOOTER if key in chosen]


def test_the_way_out_and_the_map_of_keys_are_the_last_to_go():
    assert [key.action for key in fitting(FOOTER, 14, lambda key: key.label)] == ["key_map", "quit"]


def test_eighty_columns_hold_the_steering_that_matters():
    actions = {key.action for key in fitting(FOOTER, 78, lambda key: key.label)}
    assert {"pause", "lower_lr", "raise_lr", "promote", "help", "key_map", "quit"} <= actions
