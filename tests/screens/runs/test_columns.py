"""The columns of the list of runs: exact widths at any size, whatever a run is called, and a word for every state."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from cockpit.session.run_list.listed_run import NO_JOURNAL, UNREADABLE, ListedRun
from cockpit.session.run_list.order import SORT_COLUMNS, TreeRow
from cockpit.ui.panels.toolkit.symbols import ASCII, UNICODE, Symbols
from cockpit.ui.screens.runs.cells import CellContext
from cockpit.ui.screens.runs.columns import COLUMNS, detail_of, layout_of
from tests.session.run_list.listing import listed

NOW = 1_000_000.0
ODD = "größe-\N{CJK UNIFIED IDEOGRAPH-8A13}\N{CJK UNIFIED IDEOGRAPH-7DF4}" * 9 + "\N{ROCKET}\x1b[31m"
RUNS = [
    listed(
        "tiny", started=NOW - 400, best=0.51234, alerts=3, lr=1e-4, step=20, total_steps=100, curve=(3.0, None, 1.0)
    ),
    listed(ODD, note=ODD, tags="a b c", task="people", parent=("x", 3)),
    listed("own", program="train.py", best=math.nan, activity="running"),
    replace(listed("live"), state="validating", is_live=True),
    ListedRun(Path("unread")),
    ListedRun(Path("torn")).with_problem(UNREADABLE, "a sentence"),
    ListedRun(Path("lost")).with_problem(NO_JOURNAL, "another"),
]


def line(run: ListedRun, width: int = 200, signs: Symbols = UNICODE, **place: int) -> str:
    marked = frozenset({"tiny"})
    return layout_of(width).line(TreeRow(run, **place), CellContext(signs, NOW, marked)).plain


@pytest.mark.parametrize("width", [59, 78, 79, 80, 99, 100, 119, 160, 199, 240])
@pytest.mark.parametrize("signs", [UNICODE, ASCII], ids=["unicode", "ascii"])
def test_every_line_is_exactly_as_wide_as_the_list(width: int, signs: Symbols) -> None:
    layout = layout_of(width)
    context = CellContext(signs, NOW)
    lines = [layout.line(TreeRow(run, 2, left_at=1234), context) for run in RUNS]
    lines.append(layout.head(SORT_COLUMNS[0], reverse=False, signs=signs))
    assert {one.cell_length for one in lines} == {width}


def test_all_columns_fit_a_wide_terminal_and_the_first_ones_a_narrow_one() -> None:
    assert [column for column, _ in layout_of(200).columns] == list(COLUMNS)
    assert [column.title.strip() for column, _ in layout_of(79).columns] == [
        *("run", "state", "phase", "best", "alerts", "loss", "started")
    ]


def test_cells_say_what_a_run_is_and_does() -> None:
    said = line(RUNS[0])
    assert said.startswith("● tiny ") and "✓ finished" in said and "20/100" in said and "0.5123" in said
    assert "▲ 3" in said and "1.00e-04" in said and "6 min" in said and "█✗▁" in said
    assert "? running" not in line(RUNS[2]) and "▶ running?" in line(RUNS[2]) and "train.py" in line(RUNS[2])
    assert "◎ validating " in line(RUNS[3])
    assert "…" in line(RUNS[4]) and "✗ unreadable" in line(RUNS[5]) and "✗ no journal" in line(RUNS[6])


def test_a_run_that_a_command_ended_is_stopped() -> None:
    assert "■ stopped " in line(listed("halted", is_stopped=True))


def test_a_branch_is_indented_with_the_step_at_which_it_left() -> None:
    assert line(RUNS[0], depth=2, left_at=70).startswith("●   └ tiny @70 ")
    assert line(RUNS[0], signs=ASCII, depth=1, left_at=70).startswith("* ` tiny @70 ")


def test_ascii_has_no_other_characters() -> None:
    assert line(RUNS[0], signs=ASCII).isascii()


def test_control_characters_are_escaped() -> None:
    assert "\x1b" not in line(RUNS[1], 2000) and "\\x1b[31m" in line(RUNS[1], 2000)


def test_the_details_have_what_the_row_cuts_off() -> None:
    first, second = (content.plain for content in detail_of(RUNS[1], ("x", 3)))
    assert "a b c" in first and "from x at step 3" in first and "people" in first and "\\x1b" in first
    assert second.startswith("größe")
    assert detail_of(RUNS[5])[1].plain == "a sentence"
    assert "formerly old" in detail_of(listed("new", formerly="old"))[0].plain
