from __future__ import annotations

import random

import pytest

from cockpit.charts.columns.window import ColumnWindow
from cockpit.charts.view import MOVES, Extent, View, recorded, whole_run
from cockpit.preferences.keymap import KEYS

RUN = Extent(1, 1000)


def test_every_key_of_the_group_that_moves_the_view_has_a_move() -> None:
    elsewhere = {"log_scale", "smoothing", "maximise", "recent", "choose_metrics", "next_chart", "previous_chart"}
    elsewhere |= {"x_axis", "lock_range", "baseline"}
    assert {key.action for key in KEYS if key.group == "charts"} == set(MOVES) | elsewhere


@pytest.mark.parametrize("last", [0, 1, 2, 19, 20, 999, 1000, 1001, 123_456, 10_000_000])
def test_the_whole_run_is_shown_with_a_little_room(last: int) -> None:
    window = whole_run(Extent(min(last, 1), last))
    assert window.end >= last + 1
    assert window.end - last - 1 <= max(20, 0.1 * last)


def test_the_axis_holds_still_while_a_run_grows() -> None:
    assert len({whole_run(Extent(1, last)) for last in range(1000, 1100)}) <= 3


def test_zooming_in_while_following_keeps_the_newest_step_at_the_right() -> None:
    view = View().zoomed(RUN, 2)
    assert (view.follow, view.shown(RUN).end) == (True, 1001)
    assert view.shown(Extent(1, 1500)) == ColumnWindow(1501 - view.shown(RUN).span, 1501)


def test_zooming_keeps_the_step_below_the_pointer_where_it_is() -> None:
    window = View().zoomed(RUN, 4, around=300).shown(RUN)
    share = (300 - window.first) / window.span
    assert share == pytest.approx((300 - 1) / whole_run(RUN).span)


def test_zooming_out_far_enough_shows_the_whole_run_again() -> None:
    view = View().zoomed(RUN, 8, around=300).zoomed(RUN, 1 / 64)
    assert view.window is None


def test_no_zoom_goes_below_a_few_steps() -> None:
    view = View()
    for _ in range(50):
        view = view.zoomed(RUN, 2)
    assert view.shown(RUN).span == 8


def test_panning_stops_at_both_ends_of_the_run() -> None:
    view = View().zoomed(RUN, 4)
    left, right = view, view
    for _ in range(30):
        left, right = left.panned(RUN, -0.25), right.panned(RUN, 0.25)
    assert left.shown(RUN).first == 1
    assert right.shown(RUN).end == whole_run(RUN).end
    assert not left.follow


def test_letting_go_of_the_newest_step_leaves_the_window_where_it_is() -> None:
    view = View().zoomed(RUN, 4).followed(RUN)
    assert view.shown(Extent(1, 2000)) == view.shown(RUN)
    assert view.followed(Extent(1, 2000)).shown(Extent(1, 2000)).end == 2001


def test_the_cursor_appears_at_the_newest_step_and_moves_by_columns() -> None:
    view = View().moved(RUN, -1, of=100)
    assert view.cursor == 1000
    assert view.moved(RUN, -1, of=100).cursor == 1000 - round(whole_run(RUN).span / 100)
    assert View().zoomed(RUN, 100).at(RUN, 995).moved(RUN, 1, of=100).cursor == 996


def test_the_cursor_stays_within_the_run() -> None:
    assert View().at(RUN, -5).cursor == 1
    assert View().at(RUN, 5000).cursor == 1000
    assert View().at(Extent(0, 0), 5).cursor is None


def test_a_cursor_out_of_sight_takes_the_window_with_it() -> None:
    view = View().zoomed(RUN, 8).at(RUN, 200)
    window = view.shown(RUN)
    assert window.first <= 200 < window.end
    assert not view.follow


def test_home_and_end_go_to_the_edges_of_what_is_shown() -> None:
    view = View(ColumnWindow(200.5, 300.0), follow=False)
    assert view.first_shown(RUN).cursor == 201
    assert view.last_shown(RUN).cursor == 299


def test_a_cut_run_takes_the_cursor_back_when_it_moves() -> None:
    assert View(cursor=900).moved(Extent(1, 500), 1, of=100).cursor == 500


@pytest.mark.parametrize("last", [0, 1, 2, 3, 7, 19, 20, 21, 1000])
def test_whatever_is_done_to_the_view_it_shows_recorded_steps_in_their_order(last: int) -> None:
    chance = random.Random(last)
    for _ in range(60):
        view, extent = View(), Extent(min(last, 1), last)
        for _ in range(40):
            extent = _grown_or_cut(extent, chance)
            view = _moved_somehow(view, extent, chance)
            window = view.shown(extent)
            assert window.first < window.end
            assert window.first <= extent.last
            assert window.end > extent.first
            first, end = recorded(window, extent)
            assert extent.first <= first <= end <= extent.last


def _grown_or_cut(extent: Extent, chance: random.Random) -> Extent:
    """Steps come, or a rollback takes some back; or neither."""
    if chance.random() < 0.7:
        return extent
    return Extent(extent.first, max(extent.last + chance.randrange(-extent.last // 2 - 1, 9), extent.first))


def _moved_somehow(view: View, extent: Extent, chance: random.Random) -> View:
    match chance.randrange(4):
        case 0:  # the wheel, anywhere in the plot
            window = view.shown(extent)
            around = window.first + chance.random() * window.span
            return view.zoomed(extent, chance.choice((0.5, 2**-0.5, 2**0.5, 2.0)), around)
        case 1:
            return view.panned(extent, chance.uniform(-1.5, 1.5))
        case 2:
            return view.at(extent, chance.choice((None, chance.randrange(-3, extent.last + 5))))
        case _:
            return chance.choice([*MOVES.values()])(view, extent, 60)


def test_a_wheel_beyond_the_last_of_two_steps_shows_both_ends_in_order() -> None:
    extent = Extent(1, 2)
    view = View().zoomed(extent, 2**0.5, around=18.0).zoomed(extent, 2**0.5, around=12.0)
    assert recorded(view.shown(extent), extent) == (2, 2)
