"""One image in five is held out of data that have one split."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import pytest

from engine.tasks.person.data.readers.holdout import held_out, held_out_share

NAMES = [f"img{number:03d}.jpg" for number in range(100)]


@pytest.mark.parametrize("rule", ["by_hash", "in_order"])
@pytest.mark.parametrize(("count", "held"), [(0, 0), (1, 0), (2, 1), (4, 1), (5, 1), (9, 1), (10, 2), (100, 20)])
def test_one_in_five_is_held_out_and_of_few_one(rule: str, count: int, held: int) -> None:
    chosen = held_out(NAMES[:count], "by_hash" if rule == "by_hash" else "in_order")
    assert len(chosen) == held and chosen <= set(NAMES[:count])


@pytest.mark.parametrize(
    ("count", "share", "held"), [(100, 0.1, 10), (10, 0.3, 3), (139, 0.15, 20), (3, 0.1, 1), (1, 0.5, 0)]
)
def test_a_share_is_rounded_down_and_leaves_one_on_each_side(count: int, share: float, held: int) -> None:
    chosen = held_out_share([f"{number}.jpg" for number in range(count)], share)
    assert len(chosen) == held


def test_a_larger_share_holds_out_more_of_the_same() -> None:
    assert held_out_share(NAMES, 0.1) < held_out_share(NAMES, 0.2) == held_out(NAMES)


def test_the_order_of_the_names_changes_nothing() -> None:
    assert held_out(NAMES) == held_out(reversed(NAMES))


def test_in_order_each_fifth_is_held_out() -> None:
    assert held_out(NAMES[:10], "in_order") == {"img004.jpg", "img009.jpg"}


def test_an_added_image_sends_at_most_one_to_the_other_split() -> None:
    sizes = [held_out(NAMES[:count]) for count in range(5, 101)]
    assert all(len(before - after) <= 1 for before, after in pairwise(sizes))
    assert len(sizes[0] & sizes[-1]) + len(held_out(NAMES[:50]) & sizes[-1]) >= 5


def test_files_with_one_name_and_two_suffixes_stay_together() -> None:
    names = [f"{stem}{suffix}" for stem in range(20) for suffix in (".jpg", ".PNG")]
    held = held_out(names)
    assert len(held) == 8
    assert {name.rpartition(".")[0] for name in held}.isdisjoint(n.rpartition(".")[0] for n in names if n not in held)


def test_a_name_is_the_same_however_a_file_system_writes_it() -> None:
    plain = [f"folder/é{number}.jpg" for number in range(25)]
    others = [unicodedata.normalize("NFD", name).replace("/", "\\").upper() for name in plain]
    held = held_out(plain)
    assert held_out(others) == {others[plain.index(name)] for name in held}
