"""Printed charts: curves of the current lineage, facts, levels and marks, for any values and any width."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from cockpit.console.charts import PrintedCurves, chart_lines, read_printed
from cockpit.console.curves import MetricCurve, read_curves
from engine.journal.reader import JournalReader
from engine.protocol import events as e
from engine.protocol.events import Status
from tests.console.curve_cases import CASES, least_seconds
from tests.console.scripted import ScriptedRun


@pytest.fixture
def reader(run: ScriptedRun) -> Iterator[JournalReader]:
    reader = JournalReader(run.directory)
    yield reader
    reader.close()


def test_curves_hold_the_steps_that_recorded_them(run: ScriptedRun, reader: JournalReader) -> None:
    for step in range(1, 5):
        run.train(step, loss=math.nan if step == 3 else float(step))
    run.validate(0.25)
    loss, miou = read_curves(reader, ["loss/total", "val/miou"])

    assert loss.steps.tolist() == [1, 2, 3, 4]
    assert math.isnan(loss.values[2])
    assert (miou.steps.tolist(), miou.values.tolist()) == ([4], [0.25])


def test_superseded_steps_are_left_out(run: ScriptedRun, reader: JournalReader) -> None:
    for step in range(1, 5):
        run.train(step, loss=1.0)
    run.journal.open_branch(2)
    run.train(3, loss=7.0)
    (loss,) = read_curves(reader, ["loss/total"])

    assert (loss.steps.tolist(), loss.values.tolist()) == ([1, 2, 3], [1.0, 1.0, 7.0])


def test_norms_and_spiky_losses_are_logarithmic(run: ScriptedRun, reader: JournalReader) -> None:
    for step in range(1, 10):
        run.train(step, loss=1000.0 if step == 5 else 1.0, norm=1.0)
    run.validate(0.2)

    kinds = {
        curve.name: curve.log for curve in read_curves(reader, ["loss/total", "grad_norm/total", "val/miou", "lr"])
    }
    assert kinds == {"loss/total": True, "grad_norm/total": True, "val/miou": False, "lr": False}


def test_a_norm_that_was_always_zero_is_still_drawn(run: ScriptedRun, reader: JournalReader) -> None:
    run.train(1, norm=0.0)
    run.train(2, norm=0.0)

    assert not read_curves(reader, ["grad_norm/total"])[0].log


def curve(values: Sequence[float], *, log: bool = False, name: str = "loss/total") -> MetricCurve:
    return MetricCurve(name, np.arange(1, len(values) + 1), np.array(values, np.float64), log)


def printed(*curves: MetricCurve, width: int = 80, ascii_only: bool = False) -> list[str]:
    return [line.plain for line in chart_lines(PrintedCurves(curves), width=width, ascii_only=ascii_only)]


def drawn(lines: list[str]) -> list[str]:
    """The rows of a chart that hold a piece of a curve, a point, or the arrow of a value off the axis."""
    return [line for line in lines[1:] if any("⠁" <= sign <= "⣿" or sign in "●▲▼▾" for sign in line)]


@pytest.mark.parametrize("width", [20, 60, 80, 200])
@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_every_input_is_drawn_within_its_width(name: str, log: bool, width: int) -> None:
    lines = printed(curve(CASES[name], log=log), width=width)

    assert lines[0].startswith("loss/total")
    assert all(len(line) <= width for line in lines)


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("empty", "all nan", "all inf")])
def test_every_curve_with_a_finite_value_shows_a_line(name: str) -> None:
    assert drawn(printed(curve(CASES[name])))


def test_a_narrower_terminal_than_twenty_columns_gets_twenty() -> None:
    assert printed(curve([1.0, 2.0]), width=1) == printed(curve([1.0, 2.0]), width=20)


def test_nothing_to_draw_is_said_in_words() -> None:
    assert printed(curve([])) == ["loss/total  no values yet", ""]
    assert printed(curve([math.nan] * 3)) == ["loss/total  last NaN  3 NaN, first at step 1", ""]


@pytest.mark.parametrize("width", [60, 200])
def test_one_spike_in_a_hundred_thousand_points_is_named(width: int) -> None:
    values = np.ones(100_000)
    values[77_777] = 50.0
    values[12_345] = -50.0
    lines = printed(curve(values.tolist()), width=width)

    assert sum("▲50" in line for line in lines) == 1 and sum("▼-50" in line for line in lines) == 1
    assert "min -50 at step 12346" in " ".join(lines) and "max 50 at step 77778" in " ".join(lines)


def test_what_is_not_finite_is_counted_and_marked_on_the_axis() -> None:
    values = [1.0] * 50
    values[9], values[10], values[29] = math.nan, math.nan, math.inf
    lines = printed(curve(values))

    assert "2 NaN, first at step 10  1 Inf, first at step 30" in "  ".join(lines)
    (axis,) = [line for line in lines if "╰" in line]
    assert axis.count("\N{MULTIPLICATION SIGN}") == 2 and axis.count("∞") == 1


def test_ascii_output_is_ascii(run: ScriptedRun, reader: JournalReader) -> None:
    run.begin()
    run.train(10, norm=math.nan)
    run.note(e.LrScaled(1e-3, 5e-4, 0.5), status=Status.APPLIED, actor="cli:ann")
    run.train(20)
    lines = chart_lines(
        read_printed(reader, ["loss/total", "grad_norm/total"], reader.events()), width=80, ascii_only=True
    )

    assert all(line.plain.isascii() for line in lines)
    assert lines[-1].plain == "marks: * intervention"


def test_names_cannot_act_on_the_terminal() -> None:
    lines = printed(curve([1.0, 2.0], name="\x1b[31m[red]"))

    assert lines[0].startswith("\\x1b[31m[red]")
    assert "\x1b" not in "".join(lines)


def test_kinds_of_marks_are_explained_and_checkpoints_left_out(run: ScriptedRun, reader: JournalReader) -> None:
    run.begin()
    run.train(100)
    run.note(e.CheckpointSaved("step-100.pt", "step", 1.0, None, True))
    lines = chart_lines(read_printed(reader, ["loss/total"], reader.events()), width=80)
    assert not any("marks:" in line.plain or "▪" in line.plain for line in lines)
    run.note(e.LrScaled(1e-3, 5e-4, 0.5), status=Status.APPLIED, actor="cli:ann")
    run.train(200)
    run.note(e.RolledBack("step-100.pt", 200, 100))
    lines = chart_lines(read_printed(reader, ["loss/total"], reader.events()), width=80)
    assert lines[-1].plain == "marks: ◆ intervention, ◀ rollback"
    assert any("◆" in line.plain for line in lines[:-1])


def test_a_chart_shows_the_levels_that_it_has_on_the_screen(run: ScriptedRun, reader: JournalReader) -> None:
    run.begin()
    run.train(1, loss=1.6)
    run.train(2, loss=1.7)
    lines = chart_lines(read_printed(reader, ["loss/total", "loss_raw/dice"], reader.events()), width=80)
    said = "\n".join(line.plain for line in lines)

    assert " chance level 1.77 " in said
    assert "loss_raw/dice  last 0.25  min 0.25 at step 1  max 0.25 at step 1\nchance level 0.6667" in said


def test_curve_and_level_differ_in_colour(run: ScriptedRun, reader: JournalReader) -> None:
    run.begin()
    run.train(1, norm=5.0)
    run.train(2, norm=9.0)
    lines = chart_lines(read_printed(reader, ["grad_norm/total"], reader.events()), width=80)
    styles = {str(span.style) for line in lines for span in line.spans}

    assert {"cyan", "red", "dim"} <= styles


def test_a_metric_nobody_recorded_is_an_empty_curve(run: ScriptedRun, reader: JournalReader) -> None:
    run.train(1)

    assert printed(*read_curves(reader, ["val/miou"])) == ["val/miou  no values yet", ""]


def test_a_hundred_thousand_points_take_no_longer_than_a_blink() -> None:
    many = curve(list(np.random.default_rng(0).random(100_000)))
    assert least_seconds(lambda: printed(many, width=200)) < 0.2
