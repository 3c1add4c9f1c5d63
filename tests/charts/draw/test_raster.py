from __future__ import annotations

import numpy as np
import pytest

from cockpit.charts.draw.glyphs import ASCII, BLOCK, BRAILLE, MARKERS, Marker
from cockpit.charts.draw.raster import bits, runs
from cockpit.charts.scale import Scale

UNIT = Scale(0.0, 1.0)


def dots(low: list[float], high: list[float], rows: int) -> list[str]:
    """One curve as text: a hash per dot."""
    drawn = runs(np.array([low]), np.array([high]), UNIT, rows)[0]
    return ["".join("#" if dot else "." for dot in row) for row in drawn]


def test_a_column_is_a_run_from_least_to_greatest() -> None:
    assert dots([0.25], [0.75], 5) == [".", "#", "#", "#", "."]


def test_a_jump_is_filled_half_by_each_of_its_two_columns() -> None:
    assert dots([0.0, 1.0], [0.0, 1.0], 6) == [".#", ".#", ".#", "#.", "#.", "#."]
    assert dots([1.0, 0.0], [1.0, 0.0], 6) == ["#.", "#.", "#.", ".#", ".#", ".#"]


def test_columns_that_touch_are_left_alone() -> None:
    assert dots([0.0, 0.5], [0.25, 0.75], 5) == ["..", ".#", ".#", "#.", "#."]


def test_an_empty_column_draws_nothing_and_joins_nothing() -> None:
    nan = float("nan")
    assert dots([0.0, nan, 1.0], [0.0, nan, 1.0], 3) == ["..#", "...", "#.."]


def test_values_outside_the_range_stand_at_its_edge() -> None:
    assert dots([-5.0, 7.0], [-5.0, 7.0], 2) == [".#", "#."]


@pytest.mark.parametrize("marker", MARKERS)
def test_every_combination_of_dots_but_none_has_a_sign(marker: Marker) -> None:
    glyphs = MARKERS[marker]
    assert len(glyphs.table) == 2 ** (glyphs.across * glyphs.down)
    assert chr(int(glyphs.table[0])) == " "
    assert ord(" ") not in glyphs.table[1:]


def test_dots_become_the_characters_that_hold_them() -> None:
    grid = np.array([[[1, 0], [0, 0], [0, 0], [0, 1]]], np.bool_)
    assert chr(int(BRAILLE.table[bits(grid, BRAILLE)][0, 0, 0])) == "⢁"
    assert [chr(int(code)) for code in BLOCK.table[bits(grid, BLOCK)][0, :, 0]] == ["▘", "▗"]
    column = np.array([[[1], [1], [1]]], np.bool_)
    assert chr(int(ASCII.table[bits(column, ASCII)][0, 0, 0])) == "|"
