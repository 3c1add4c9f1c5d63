"""Charts over epochs and running time: equally wide columns of places, their labels, and moves of the view."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cockpit.charts.chart_specs import Spec
from cockpit.charts.columns.window import ColumnWindow, StepAxis
from cockpit.charts.ticks import clock_label, place_label, place_ticks
from cockpit.charts.view import Extent, View, whole_run
from tests.charts.array_history import ArrayHistory
from tests.charts.cases import feed_of, picture

STEPS = np.arange(1, 1001)
SECONDS = np.where(STEPS <= 500, STEPS * 1.0, 500 + (STEPS - 500) * 3.0)
"""One second a step, then three."""


def axis() -> StepAxis:
    found = StepAxis.of("time", STEPS, SECONDS)
    assert found is not None
    return found


def test_a_place_and_its_step_are_each_others_inverse_also_beyond_the_run() -> None:
    for step in (-300.0, 1.0, 250.5, 500.0, 750.0, 1000.0, 5000.0):
        assert axis().step(axis().place(step)) == pytest.approx(step)
    assert axis().place(750) == pytest.approx(1250)


def test_places_that_do_not_rise_make_no_axis_and_equal_ones_count_once() -> None:
    assert StepAxis.of("epoch", STEPS, np.zeros(1000)) is None
    assert StepAxis.of("epoch", STEPS[:0], np.zeros(0)) is None
    stairs = StepAxis.of("epoch", np.arange(1, 7), np.array([0.0, 0.0, 1.0, 0.5, 1.0, 2.0]))
    assert stairs is not None and stairs.steps_K[1:-1].tolist() == [1, 3, 6]


def test_columns_are_equally_wide_in_time_and_hold_each_step_once() -> None:
    window = ColumnWindow(1, 1001, axis())
    edges = window.edges(10)
    assert edges is not None
    assert np.allclose(np.diff(axis().places(edges)), np.diff(window.limits) / 10)
    history = ArrayHistory.dense({"m": STEPS.astype(float)})
    found = history.buckets_of(["m"], first=1, last=1001, columns=10, edges=edges)["m"]
    assert found.low_C[0] == 1 and found.high_C[-1] == 1000
    assert (found.low_C[1:] == found.high_C[:-1] + 1).all()
    assert [window.column(step, 10) for step in (1, 1000)] == [0, 9]
    assert window.columns_of(np.array([1, 500, 1000]), 10).tolist() == [
        window.column(step, 10) for step in (1, 500, 1000)
    ]


@pytest.mark.parametrize(
    ("seconds", "grain", "text"),
    [
        (0, 1, "0s"),
        (0.5, 0.1, "0.5s"),
        (45, 15, "45s"),
        (300, 60, "5m"),
        (330, 30, "5m30s"),
        (3900, 300, "1h05m"),
        (3605, 5, "1h00m05s"),
        (194_400, 3600, "2d06h"),
        (-90, 30, "-1m30s"),
        (59.99, 1, "1m"),
    ],
)
def test_times_are_short(seconds: float, grain: float, text: str) -> None:
    assert clock_label(seconds, grain) == text


@pytest.mark.parametrize("span", [0.01, 1, 7, 60, 400, 5_000, 90_000, 1e6, 1e8])
@pytest.mark.parametrize("start", [0.0, 3_600.0, 200_000.0])
def test_labels_of_one_axis_differ_and_are_few(start: float, span: float) -> None:
    for kind in ("time", "epoch"):
        ticks = place_ticks(kind, start, start + span, 6)
        labels = [label for _, label in ticks]
        assert len(set(labels)) == len(labels) and 2 <= len(labels) <= 8, labels
        assert all(start <= place < start + span for place, _ in ticks)


def test_a_cursor_names_its_place() -> None:
    assert [place_label("epoch", 2.414), place_label("time", 7.25), place_label("time", 4000.4)] == [
        "2.41",
        "7.25s",
        "1h06m40s",
    ]


def test_the_picture_has_the_labels_of_the_axis_and_its_name() -> None:
    history = ArrayHistory.dense({"m": np.linspace(2, 1, 1000)})
    feed = feed_of(history, view=View(cursor=750))
    spec = Spec("l", "Lines", metrics=("m",))
    lines = picture(spec, replace(feed, axis=axis()), (90, 14)).lines()
    assert " time " in lines[0]
    assert "20m50s" in lines[-2] and "10m" in lines[-2] and "750" not in lines[-2]
    assert "20m50s" not in picture(spec, feed, (90, 14)).lines()[-2]


def test_zoom_pan_and_cursor_move_on_the_axis_that_is_drawn() -> None:
    run = Extent(1, 1000, axis())
    everything = whole_run(run)
    assert everything.axis is run.axis
    zoomed = View(cursor=250).zoomed(run, 2.0)
    left, right = zoomed.shown(run).limits
    assert right - left == pytest.approx(np.diff(everything.limits)[0] / 2)
    assert zoomed.shown(run).column(250, 100) == pytest.approx(everything.column(250, 100), abs=1)
    panned = zoomed.panned(run, 0.25).shown(run).limits
    assert panned[0] - left == pytest.approx((right - left) / 4)
    assert View().zoomed(run, 2.0).zoomed(run, 0.5).window is None
    moved = View(cursor=250).moved(run, 1, of=20)
    assert moved.cursor is not None
    assert everything.column(moved.cursor, 20) == everything.column(250, 20) + 1
    assert View(cursor=250).moved(run, -1, of=100_000).cursor == 249
