"""The order of a list of runs, and the tree of its branches."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from cockpit.session.run_list.listed_run import ListedRun
from cockpit.session.run_list.order import SORT_COLUMNS, as_tree, in_order, present_parent
from tests.session.run_list.listing import listed

COLUMNS = {column.name: column for column in SORT_COLUMNS}
RUNS = [
    listed("b", started=3.0, best=0.5, alerts=2, lr=1e-3, step=10),
    listed("a", started=1.0, best=math.nan, alerts=0, lr=1e-5, step=300, activity="failed"),
    listed("c", started=2.0, best=0.9, alerts=0, lr=1e-4, step=20),
    ListedRun(Path("runs/d"), 2.5),
]


@pytest.mark.parametrize(
    ("column", "names"),
    [
        ("started", "bdca"),
        ("run", "abcd"),
        ("state", "abcd"),
        ("best", "cbda"),
        ("alerts", "bcad"),
        ("step", "acbd"),
        ("lr", "bcad"),
    ],
)
def test_a_column_sorts_and_unknown_values_come_last(column: str, names: str) -> None:
    assert "".join(run.name for run in in_order(RUNS, COLUMNS[column])) == names


def test_the_other_direction_keeps_unknown_values_last() -> None:
    assert "".join(run.name for run in in_order(RUNS, COLUMNS["best"], reverse=True)) == "bcda"
    assert "".join(run.name for run in in_order(RUNS, COLUMNS["started"], reverse=True)) == "acdb"


def test_a_lower_score_is_first_where_lower_is_better() -> None:
    runs = [listed("high", best=9.0, lower_is_better=True), listed("low", best=2.0, lower_is_better=True)]
    assert [run.name for run in in_order(runs, COLUMNS["best"])] == ["low", "high"]


def tree(*runs: ListedRun, shown: str = "") -> list[tuple[str, int, int | None]]:
    everything = {run.name: run for run in runs}
    visible = [run for run in runs if not shown or run.name in shown.split()]
    return [(row.run.name, row.depth, row.left_at) for row in as_tree(visible, everything)]


def test_branches_are_below_their_parents_with_the_step() -> None:
    runs = (
        listed("grandchild", parent=("child", 70)),
        listed("other"),
        listed("child", parent=("trunk", 50)),
        listed("second", parent=("trunk", 20)),
        listed("trunk"),
    )
    assert tree(*runs) == [
        ("other", 0, None),
        ("trunk", 0, None),
        ("child", 1, 50),
        ("grandchild", 2, 70),
        ("second", 1, 20),
    ]
    assert tree(*runs, shown="grandchild second") == [("grandchild", 0, None), ("second", 0, None)]


def test_the_branches_of_a_renamed_or_deleted_run_keep_their_place() -> None:
    child = listed("child", parent=("old", 5), began=20.0)
    assert tree(child) == [("child", 0, None)]
    renamed = listed("new", formerly="older old", began=1.0)
    assert tree(child, renamed) == [("new", 0, None), ("child", 1, 5)]
    assert present_parent(child, {run.name: run for run in (child, renamed)}) == ("new", 5)
    namesake = listed("old", began=30.0)
    assert tree(child, renamed, namesake) == [("new", 0, None), ("child", 1, 5), ("old", 0, None)]


def test_links_in_a_circle_do_not_hide_a_run() -> None:
    one, two = listed("one", parent=("two", 1)), listed("two", parent=("one", 2))
    selfish = listed("self", parent=("self", 3))
    assert sorted(name for name, _, _ in tree(one, two, selfish)) == ["one", "self", "two"]
    below = listed("below", parent=("one", 4))
    assert ("below", 0, None) in tree(below, one, two)
