from __future__ import annotations

import re

import numpy as np
import pytest

from cockpit.charts.chart_specs import Spec
from cockpit.charts.columns.window import ColumnWindow
from cockpit.charts.draw.glyphs import MARKERS, Marker
from cockpit.charts.view import View
from tests.charts.array_history import ArrayHistory
from tests.charts.cases import CASES, KINDS, MARKS, SIZES, feed_of, history_of, picture

ALL_MARKERS = tuple(MARKERS)
LINES = Spec("l", "Lines", metrics=("m",))
SIZE = (66, 15)


@pytest.mark.parametrize("marker", ALL_MARKERS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_any_values_make_rows_exactly_as_wide_as_asked(case: str, kind: str, marker: Marker) -> None:
    spec, metrics = KINDS[kind]
    feed = feed_of(history_of(metrics, CASES[case]()), view=View(cursor=120), marks=MARKS, recent=True)
    for size in SIZES:
        lines = picture(spec, feed, size, marker).lines()
        assert [len(line) for line in lines] == [size[0]] * size[1]


@pytest.mark.parametrize("marker", ALL_MARKERS)
def test_every_character_takes_one_cell(marker: Marker) -> None:
    from rich.cells import cell_len

    for spec, metrics in KINDS.values():
        values = CASES["NaN and Inf together"]()
        feed = feed_of(history_of(metrics, values), view=View(cursor=40), marks=MARKS, recent=True)
        assert [cell_len(line) for line in picture(spec, feed, SIZE, marker).lines()] == [SIZE[0]] * SIZE[1]


def test_the_ascii_set_uses_nothing_else() -> None:
    for spec, metrics in KINDS.values():
        feed = feed_of(history_of(metrics, CASES["huge outlier"]()), view=View(cursor=40), marks=MARKS, recent=True)
        assert "\n".join(picture(spec, feed, SIZE, "ascii").lines()).isascii()


@pytest.mark.parametrize("marker", ALL_MARKERS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_nan_and_an_infinity_are_each_marked_below_the_plot(kind: str, marker: Marker) -> None:
    signs = MARKERS[marker].signs
    spec, metrics = KINDS[kind]
    values = CASES["constant"]()
    values[[60, 200]] = np.nan
    values[140] = np.inf
    axis = picture(spec, feed_of(history_of(metrics, values)), SIZE, marker).lines()[-3]
    assert (axis.count(signs.nan), axis.count(signs.inf)) == (2, 1)


@pytest.mark.parametrize("marker", ALL_MARKERS)
def test_one_column_with_both_has_a_sign_for_both(marker: Marker) -> None:
    values = np.ones(20_000)
    values[10_000], values[10_001] = np.nan, np.inf
    axis = picture(LINES, feed_of(history_of(("m",), values)), SIZE, marker).lines()[-3]
    assert axis.count(MARKERS[marker].signs.nan_and_inf) == 1


@pytest.mark.parametrize("span", [8, 40, 300, 5_000, 1_000_000])
def test_a_nan_is_marked_at_any_zoom(span: int) -> None:
    values = np.ones(1_000_000)
    values[500_000] = np.nan
    history = ArrayHistory.dense({"m": values})
    view = View(ColumnWindow(max(500_001 - span / 2, 1), 500_001 + span / 2), follow=False)
    assert picture(LINES, feed_of(history, view=view), SIZE).lines()[-3].count("\N{MULTIPLICATION SIGN}") == 1


@pytest.mark.parametrize("marker", ALL_MARKERS)
@pytest.mark.parametrize("smoothing", [0.0, 0.97])
def test_the_least_and_the_greatest_of_a_million_points_are_on_the_picture(marker: Marker, smoothing: float) -> None:
    values = np.zeros(1_000_000)
    values[300_000], values[700_000] = 1.0, -1.0
    spec = Spec("l", "Lines", metrics=("m",), smoothing=smoothing)
    rows = picture(spec, feed_of(history_of(("m",), values)), SIZE, marker).lines()
    plot = [line[9:-1] for line in rows[2:-3]]
    above = next(y for y, line in enumerate(plot) if line[15:20].strip())
    below = max(y for y, line in enumerate(plot) if line[35:45].strip())
    assert (above, below) == (0, len(plot) - 1)


@pytest.mark.parametrize("marker", ALL_MARKERS)
@pytest.mark.parametrize(("value", "sign", "row"), [(1e9, "above", 2), (-1e9, "below", -4)])
def test_an_outlier_leaves_the_rest_readable_and_an_arrow_with_its_value(
    value: float, sign: str, row: int, marker: Marker
) -> None:
    values = 2 + np.sin(np.arange(300) / 9)
    values[150] = value
    lines = picture(LINES, feed_of(history_of(("m",), values)), SIZE, marker).lines()
    assert f"{getattr(MARKERS[marker].signs, sign)}{value:.0e}".replace("e+09", "e9") in lines[row]
    used = [line for line in lines[3:-4] if line[10:30].strip()]
    assert len(used) >= 6


@pytest.mark.parametrize("marker", ALL_MARKERS)
@pytest.mark.parametrize("height", [7, 9, 15, 30])
def test_the_letters_of_curves_stand_in_their_order(height: int, marker: Marker) -> None:
    ends = {"low": 0.38, "lowest": 0.36, "high": 0.59, "middle": 0.52, "highest": 0.74}
    spec = Spec("l", "Lines", metrics=tuple(ends))
    history = ArrayHistory.dense({name: np.linspace(1.5, end, 300) for name, end in ends.items()})
    lines = picture(spec, feed_of(history), (66, height), marker).lines()
    letters = "".join(line[64] for line in lines[2:-3] if line[64].isalpha())
    assert list(letters) == sorted(letters, key="ecdab".index)
    assert "a" in letters and len(letters) >= min(5, height - 6)


def test_values_that_a_log_axis_cannot_show_stand_on_a_rug() -> None:
    values = np.full(300, 10.0)
    values[[50, 51]], values[200] = 0.0, -3.0
    spec = Spec("l", "Log", metrics=("m",), log=True)
    assert picture(spec, feed_of(history_of(("m",), values)), SIZE).lines()[-4].count("▾") == 2


def test_a_metric_that_was_off_for_long_leaves_a_gap_and_one_measured_now_and_then_does_not() -> None:
    steps = np.concatenate([np.arange(1, 101), np.arange(200, 301)])
    off = ArrayHistory({"m": (steps, np.ones(201))})
    sparse = ArrayHistory({"m": (np.arange(1, 301, 25), np.ones(12))})
    gap = [line[30:40].strip(" ╌") for line in picture(LINES, feed_of(off), SIZE).lines()[2:-3]]
    line = [line[30:40].strip() for line in picture(LINES, feed_of(sparse), SIZE).lines()[2:-3]]
    assert not any(gap)
    assert any(len(part) == 10 for part in line)


def test_a_zoom_between_two_validations_shows_the_line_between_them() -> None:
    history = ArrayHistory({"val/m": (np.array([1, 1000]), np.array([0.0, 1.0]))})
    view = View(ColumnWindow(400.0, 500.0), follow=False)
    spec = Spec("l", "Points", metrics=("val/m",))
    lines = [line[9:-1] for line in picture(spec, feed_of(history, view=view), SIZE).lines()[2:-3]]
    assert all(any(line[x] not in " │" for line in lines) for x in range(3, 50))


def test_a_zoom_between_two_validations_has_the_axis_of_the_line_that_is_drawn() -> None:
    history = ArrayHistory({"val/m": (np.array([202, 404]), np.array([15.8, 13.0]))})
    view = View(ColumnWindow(281.0, 391.0), follow=False)
    lines = picture(Spec("l", "Points", metrics=("val/m",)), feed_of(history, view=view), SIZE).lines()[2:-3]
    labels = [float(found.group()) for line in lines if (found := re.search(r"[0-9.]+", line[1:9]))]
    assert labels and all(13.0 < label < 15.8 for label in labels)
    rows = [y for y, line in enumerate(lines) if line[9:-1].strip(" │")]
    assert rows[0] <= 1 and rows[-1] >= len(lines) - 2


def test_forty_metrics_share_a_chart_and_the_legend_counts_those_without_room() -> None:
    history = ArrayHistory.dense({f"m{number:02}": np.full(50, float(number)) for number in range(40)})
    spec = Spec("l", "Many", metrics=history.names)
    lines = picture(spec, feed_of(history), SIZE).lines()
    assert "+" in lines[2][-6:]
    assert {len(line) for line in lines} == {SIZE[0]}


def test_the_cursor_is_written_below_the_axis_and_legend_shows_the_values_there() -> None:
    history = ArrayHistory.dense({"m": np.arange(1, 301, dtype=float)})
    lines = picture(LINES, feed_of(history, view=View(cursor=123)), SIZE).lines()
    assert " 123 " in lines[-2]
    assert "a m 123" in lines[1]


def test_the_newest_value_is_shown_without_a_cursor() -> None:
    history = ArrayHistory.dense({"m": np.array([1.0, np.nan])})
    assert "a m NaN" in picture(LINES, feed_of(history), SIZE).lines()[1]


def test_nothing_recorded_is_said() -> None:
    assert "no values yet" in "\n".join(picture(LINES, feed_of(ArrayHistory()), SIZE).lines())


def test_a_window_without_values_has_no_axis_of_values() -> None:
    history = ArrayHistory.dense({"loss/total": np.ones(100)})
    history.metrics["val/loss"] = (np.array([1, 40]), np.array([3.0, 2.0]))
    spec = Spec("v", "Validation", metrics=("val/loss",))
    for window, shown in ((ColumnWindow(10, 30), False), (ColumnWindow(60, 80), True)):
        plot = picture(spec, feed_of(history, view=View(window=window, follow=False)), SIZE).lines()[2:-3]
        assert any("no values here" in line for line in plot) is shown
        assert all(line[1:8].isspace() for line in plot) is shown


def test_the_recent_pane_stands_beside_the_whole_run_and_replaces_it_where_there_is_no_room() -> None:
    history = ArrayHistory.dense({"m": np.arange(5_000, dtype=float)})
    wide = picture(LINES, feed_of(history, recent=True), SIZE).lines()
    narrow = picture(LINES, feed_of(history, recent=True), (40, 12)).lines()
    assert (wide[-3].count("╰"), narrow[-3].count("╰")) == (2, 1)
    assert "4980" in wide[-2]
    assert "2000" in wide[-2]
    assert "4960" in narrow[-2]


@pytest.mark.parametrize("marker", ALL_MARKERS)
def test_marks_of_every_kind_have_a_head_of_their_own(marker: Marker) -> None:
    signs = MARKERS[marker].signs
    lines = picture(LINES, feed_of(history_of(("m",), np.full(300, 2.0)), marks=MARKS), SIZE, marker).lines()
    heads = [signs.checkpoint, signs.note, signs.intervention, signs.phase, signs.rollback, signs.alert]
    assert len(set(heads)) == 6
    assert all(head in lines[2] for head in heads)


def test_a_mark_in_a_full_column_hides_no_extreme() -> None:
    values = np.tile([0.0, 1.0], 150)
    lines = picture(LINES, feed_of(history_of(("m",), values), marks=MARKS), SIZE).lines()
    assert "!" not in lines[2]
    assert sum(line.count("!") for line in lines) == 1
