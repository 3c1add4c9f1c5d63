"""Charts of plotext: every spike survives, nothing that is not finite is hidden, no input breaks the drawing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing

import numpy as np
import plotext
import pytest

from cockpit.console.curves import MetricCurve
from cockpit.console.plotext_charts import marked_steps, plotext_lines, segments
from engine.journal.reader import JournalReader
from engine.protocol import events as e
from engine.protocol.events import Status
from tests.console.curve_cases import CASES, least_seconds
from tests.console.scripted import ScriptedRun

NAN, INF = float("nan"), float("inf")
LINE = "⠁"
"""The first braille pattern with a dot."""


def curve(values: Sequence[float], *, log: bool = False, name: str = "loss/total") -> MetricCurve:
    return MetricCurve(name, np.arange(1, len(values) + 1), np.array(values, np.float64), log)


def drawn(lines: list[str]) -> list[str]:
    """The rows of a chart that hold a piece of the curve."""
    return [line for line in lines if any(LINE <= character <= "⣿" or character == "•" for character in line)]


@pytest.mark.parametrize("width", [20, 60, 80, 200])
@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_every_input_is_drawn_within_its_width(name: str, log: bool, width: int) -> None:
    lines = plotext_lines(curve(CASES[name], log=log), (1, 40), width=width)

    assert lines[0].startswith("loss/total")
    assert all(len(line) <= width for line in lines)


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("empty", "all nan", "all inf")])
def test_every_curve_with_a_finite_value_shows_a_line(name: str) -> None:
    assert drawn(plotext_lines(curve(CASES[name]), width=80))


def test_a_narrower_terminal_than_twenty_columns_gets_twenty() -> None:
    assert plotext_lines(curve([1.0, 2.0]), width=1) == plotext_lines(curve([1.0, 2.0]), width=20)


def test_nothing_to_draw_is_said_in_words() -> None:
    assert plotext_lines(curve([]), width=80) == ["loss/total  no values yet"]
    assert plotext_lines(curve([NAN] * 3), width=80) == ["loss/total  last NaN  3 NaN, first at step 1"]


@pytest.mark.parametrize("width", [60, 200])
def test_one_spike_in_a_hundred_thousand_points_survives(width: int) -> None:
    values = np.ones(100_000)
    values[77_777] = 50.0
    values[12_345] = -50.0
    lines = plotext_lines(curve(list(values)), width=width, height=15)

    assert len(drawn(lines)) == 13, "the spikes reach from the bottom row to the top row"
    assert "min -50 at step 12346" in " ".join(lines)
    assert "max 50 at step 77778" in " ".join(lines)


def test_a_column_keeps_its_least_and_its_greatest_value_in_order() -> None:
    values = np.zeros(1000)
    values[500], values[503] = 7.0, -7.0
    ((steps, kept),) = segments(curve(list(values)), columns=50)

    assert kept.size <= 100
    assert steps.tolist() == sorted(steps.tolist())
    at = steps.tolist().index(501.0)
    assert kept[at : at + 2].tolist() == [7.0, -7.0]


def test_a_stretch_that_is_not_finite_breaks_the_line() -> None:
    values = np.ones(1000)
    values[400:600] = NAN
    lines = segments(curve(list(values)), columns=100)

    (before, _), (after, _) = lines
    assert before.min() == 1 and 390 <= before.max() <= 400
    assert 601 <= after.min() <= 610 and after.max() >= 990


def test_missing_steps_do_not_break_the_line() -> None:
    sparse = MetricCurve("val/miou", np.array([100, 5000, 9000]), np.array([0.1, 0.2, 0.3]))

    assert len(segments(sparse, columns=80)) == 1


def test_what_is_not_finite_is_counted_and_marked() -> None:
    values = [1.0] * 50
    values[9], values[10], values[29] = NAN, NAN, INF
    lines = plotext_lines(curve(values), width=80)

    assert "2 NaN, first at step 10" in " ".join(lines)
    assert "1 Inf, first at step 30" in " ".join(lines)
    assert sum(line.count("\N{MULTIPLICATION SIGN}") for line in lines) == 3


def test_a_logarithmic_curve_counts_what_it_cannot_show() -> None:
    lines = plotext_lines(curve([0.0, 1.0, 10.0, -1.0, 100.0], log=True), width=80)

    assert lines[0].startswith("loss/total (log scale)")
    assert "2 not above 0" in " ".join(lines)


def test_interventions_are_marked_at_their_step() -> None:
    lines = plotext_lines(curve([1.0, 2.0] * 50), (50, 5000), width=80)
    (marked,) = [line for line in lines if "▼" in line]

    assert marked.count("▼") == 1
    assert 35 < marked.index("▼") < 45


def test_ascii_output_is_ascii() -> None:
    lines = plotext_lines(curve([1.0, NAN, 3.0, 2.0] * 20), (7,), width=80, ascii_only=True)

    assert all(line.isascii() for line in lines)
    assert any("*" in line for line in lines)
    assert any("x" in line for line in lines[2:])


def test_names_cannot_act_on_the_terminal() -> None:
    lines = plotext_lines(curve([1.0, 2.0], name="\x1b[31m[red]"), width=80)

    assert lines[0].startswith("\\x1b[31m[red]")
    assert "\x1b" not in "".join(lines)


def test_the_terminal_is_not_asked_for_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = plotext_lines(curve([1.0, 2.0, 3.0]), width=100)
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("LINES", "5")
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((0, 0)))

    assert plotext_lines(curve([1.0, 2.0, 3.0]), width=100) == expected


def test_what_others_left_in_plotext_does_not_show() -> None:
    expected = plotext_lines(curve([1.0, 2.0, 3.0]), width=60)
    plotext.title("somebody else's")
    plotext.plot([1, 2, 3], [30, 20, 10])
    plotext.xscale("log")

    assert plotext_lines(curve([1.0, 2.0, 3.0]), width=60) == expected


def test_nothing_is_left_in_plotext_for_others() -> None:
    def theirs() -> str:
        plotext.plot_size(40, 10)
        plotext.plot([1, 2, 3], [30, 20, 10])
        return plotext.build()

    plotext.clear_figure()
    expected = theirs()
    plotext.clear_figure()
    plotext_lines(curve([1.0, 2.0, 3.0]), width=60)
    assert theirs() == expected


def test_a_hundred_thousand_points_take_no_longer_than_a_blink() -> None:
    many = curve(list(np.random.default_rng(0).random(100_000)))
    assert least_seconds(lambda: plotext_lines(many, width=200)) < 0.2


def test_marks_are_the_steps_at_which_training_was_changed(run: ScriptedRun) -> None:
    run.train(10)
    run.note(e.LrScaled(1e-3, 5e-4, 0.5), status=Status.APPLIED, actor="cli:ann")
    run.note(e.NoteAdded("looks calm"), status=Status.APPLIED, actor="cli:ann")
    run.train(20)
    run.note(e.CommandRefused("set_lr", {}), status=Status.REFUSED, actor="cli:ann")
    run.train(30)
    run.note(e.RolledBack("step-10.pt", 30, 10))
    with closing(JournalReader(run.directory)) as reader:
        assert marked_steps(reader.events()) == (10, 30)
