from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest

from cockpit.charts.annotations.levels import levels_of
from cockpit.charts.annotations.marks import Mark, Marks, head, line, marks_of
from cockpit.charts.annotations.past import InForce
from cockpit.charts.chart_specs import Spec, charts_for, charts_of, label_of, letter_of, short_label, slot_of
from cockpit.charts.columns.window import ColumnWindow
from cockpit.charts.draw.canvas import Area, Canvas, ink_of, paper_of
from cockpit.charts.draw.glyphs import ASCII, BRAILLE
from cockpit.charts.draw.legend import draw_legend
from cockpit.charts.draw.stack import shares
from cockpit.charts.inks import Ink
from cockpit.charts.paging import Shape, page_of, shape_for
from cockpit.charts.scene import LegendItem
from cockpit.text.event_info import MarkKind
from engine.journal.reader import Entry
from engine.protocol import events as e
from engine.protocol.events import Status
from engine.protocol.task_spec import NO_SPEC, TaskSpec, Term
from engine.tasks.person.spec import SPEC, refinements_of
from tests.charts.array_history import ArrayHistory
from tests.charts.cases import feed_of, picture
from tests.person_state import person_state


def test_text_that_leaves_the_canvas_is_cut_at_both_ends() -> None:
    canvas = Canvas(4, 1)
    canvas.write(-2, 0, "abcdefgh", Ink.TITLE)
    canvas.write(0, 5, "x", Ink.TITLE)
    assert canvas.lines() == ["cdef"]
    assert [ink_of(style) for _, style in canvas.runs(0)] == [Ink.TITLE]


def test_shares_of_a_column_add_up_to_one_and_negative_values_count_by_their_size() -> None:
    share = shares(np.array([[1.0, -3.0, np.nan, np.nan], [1.0, 1.0, 2.0, np.nan]]))
    np.testing.assert_allclose(share[:, :2], [[0.5, 0.75], [0.5, 0.25]])
    assert share[1, 2] == 1.0
    assert np.isnan(share[:, 3]).all()
    assert np.isnan(shares(np.full((2, 3), np.nan))).all()


def test_a_stack_is_as_thick_as_its_shares() -> None:
    history = ArrayHistory.dense({"loss/a": np.full(100, 3.0), "loss/b": np.ones(100)})
    spec = Spec("s", "Stack", kind="stack", metrics=("loss/a", "loss/b"))
    lines = picture(spec, feed_of(history), (66, 13), "ascii").lines()
    column = "".join(line[40] for line in lines[2:-3])
    assert column == "=" * 2 + "#" * 6
    assert "75.0 %" in lines[1]


def test_a_heat_strip_has_a_row_per_module_and_a_scale() -> None:
    history = ArrayHistory.dense({"grad_norm/cold": np.full(100, 1e-3), "grad_norm/hot": np.full(100, 10.0)})
    spec = Spec("h", "Heat", kind="heat", prefix="grad_norm/")
    lines = picture(spec, feed_of(history), (66, 8), "ascii").lines()
    assert "cold" in lines[2]
    assert "hot" in lines[3]
    assert set(lines[2][40:60]) == {ASCII.shades[1]}
    assert set(lines[3][40:60]) == {ASCII.shades[4]}
    assert "0.001" in lines[1]
    assert lines[1].rstrip(" |").endswith("10")


def test_more_modules_than_rows_are_counted() -> None:
    history = ArrayHistory.dense({f"grad_norm/{number}": np.ones(9) for number in range(40)})
    spec = Spec("h", "Heat", kind="heat", prefix="grad_norm/")
    assert any("+36 more" in line for line in picture(spec, feed_of(history), (66, 10)).lines())


def test_a_module_that_was_not_finite_is_marked_in_its_own_row() -> None:
    history = ArrayHistory.dense({"grad_norm/a": np.ones(40), "grad_norm/b": np.r_[np.ones(20), np.nan, np.ones(19)]})
    canvas = picture(Spec("h", "Heat", kind="heat", prefix="grad_norm/"), feed_of(history), (66, 8))
    rows = canvas.lines()[2:5]
    assert [BRAILLE.signs.nan in row for row in rows] == [False, True, False] or [
        BRAILLE.signs.nan in row for row in rows
    ] == [False, False, True]


def test_heat_is_written_on_its_own_colour() -> None:
    history = ArrayHistory.dense({"grad_norm/a": np.ones(40)})
    canvas = picture(Spec("h", "Heat", kind="heat", prefix="grad_norm/"), feed_of(history), (66, 8))
    styles = [style for _, style in canvas.runs(2) if ink_of(style) >= Ink.HEAT_0]
    assert styles
    assert all(ink_of(style) == paper_of(style) for style in styles)


def entry(step: int, event: e.Event) -> Entry:
    return Entry(step, 0.0, 1, step, "person", None, Status.NOTED, "", event)


def test_what_was_steered_saved_and_feared_leaves_marks() -> None:
    marks = marks_of(
        [
            entry(1, e.Paused("running")),
            entry(2, e.LrScaled(1e-5, 5e-6, 0.5)),
            entry(3, e.PhasePromoted(1, 2, ())),
            entry(4, e.CheckpointSaved("c.pt", "step", 1.0, None, True)),
            entry(5, e.NoteAdded("one\x1b[31m")),
            entry(6, e.RolledBack("c.pt", 6, 4)),
            entry(9, e.AlertRaised("nan", "dice", at_step=8)),
        ],
        NO_SPEC,
    )
    assert [(mark.step, mark.kind) for mark in marks] == [
        (2, MarkKind.INTERVENTION),
        (3, MarkKind.PHASE),
        (4, MarkKind.CHECKPOINT),
        (5, MarkKind.NOTE),
        (6, MarkKind.ROLLBACK),
        (8, MarkKind.ALERT),
    ]
    assert "\\x1b" in marks[3].text


def test_the_nearest_mark_is_one_that_is_shown_and_the_weightiest_of_equals() -> None:
    marks = Marks.of([Mark(10, MarkKind.CHECKPOINT, "a"), Mark(10, MarkKind.ALERT, "b"), Mark(90, MarkKind.NOTE, "c")])
    assert marks.nearest(11, ColumnWindow(0, 50)) == Mark(10, MarkKind.ALERT, "b")
    assert marks.nearest(80, ColumnWindow(0, 50)) == Mark(10, MarkKind.ALERT, "b")
    assert marks.nearest(80, ColumnWindow(20, 50)) is None


@pytest.mark.parametrize(
    ("size", "shape"),
    [((200, 48), (3, 2)), ((140, 43), (2, 3)), ((80, 34), (2, 2)), ((80, 19), (2, 1)), ((40, 9), (1, 1))],
)
def test_how_many_charts_are_shown_depends_on_the_size(size: tuple[int, int], shape: tuple[int, int]) -> None:
    assert shape_for(*size) == Shape(*shape)


def test_pages_hold_every_chart_once() -> None:
    assert [tuple(page_of(index, 5, 2)) for index in range(5)] == [(0, 1), (0, 1), (2, 3), (2, 3), (4,)]


CHARTS = charts_for(SPEC)


def test_charts_that_last_are_there_from_the_start_and_others_with_their_metrics() -> None:
    assert len(charts_of((), CHARTS)) == 8
    assert len(charts_of(("system/cpu", "grad_share/distance_transform"), CHARTS)) == 10
    assert len({spec.id for spec in CHARTS}) == len(CHARTS)


def test_the_total_is_no_module() -> None:
    modules = next(spec for spec in CHARTS if spec.id == "modules")
    assert modules.present(("grad_norm/total", "grad_norm/decoder")) == ("grad_norm/decoder",)


def test_a_loss_term_has_the_same_colour_in_every_chart() -> None:
    assert slot_of("loss/dice", 0, SPEC.term_names) == slot_of("loss_raw/dice", 5, SPEC.term_names) == 1
    assert slot_of("grad_norm/dice", 3, SPEC.term_names) == 3


def test_labels_are_as_short_as_they_may_be() -> None:
    metrics = ("loss/total", "grad_norm/total", "loss/cross_entropy")
    assert [label_of(metric, metrics) for metric in metrics] == ["loss/total", "grad_norm/total", "cross entropy"]


STATE = person_state(run="r", refinements=refinements_of(0), gradient_clip=0.5)


def test_chance_of_the_total_needs_every_weight_and_every_level() -> None:
    weights = {"cross_entropy": 1.0, "dice": 0.5, "auxiliary": 0.25}
    chance = {"cross_entropy": 1.1, "dice": 0.6, "auxiliary": 0.4}
    assert InForce.of(STATE).total_chance(chance) is None
    weighed = replace(STATE, loss_weights=weights)
    assert InForce.of(weighed).total_chance(chance) == pytest.approx(1.5)
    assert InForce.of(weighed).total_chance({"dice": 0.6}) is None


def test_the_gradient_norm_is_held_against_the_configured_bound_and_the_clip() -> None:
    spec = next(spec for spec in CHARTS if spec.id == "norm")
    past = (InForce.of(STATE),)
    fixed = levels_of(spec, ("grad_norm/total",), past, {}, 3.0)
    adaptive = levels_of(spec, ("grad_norm/total", "clip/threshold"), past, {}, 3.0)
    assert [(level.value, level.text) for level in fixed] == [(3.0, "bound 3"), (0.5, "clip 0.5")]
    assert [level.value for level in adaptive] == [3.0]


def test_a_run_without_a_bound_or_a_clip_has_no_line_for_it() -> None:
    spec = next(spec for spec in CHARTS if spec.id == "norm")
    off = InForce.of(replace(STATE, gradient_clip=math.inf))
    assert levels_of(spec, ("grad_norm/total",), (off,), {}, math.inf) == ()
    clipped = replace(off, step=40, gradient_clip=0.5)
    (clip,) = levels_of(spec, ("grad_norm/total",), (off, clipped), {}, math.inf)
    assert (clip.text, clip.pieces) == ("clip 0.5", ((40, 0.5),))
    assert levels_of(spec, ("grad_norm/total",), (off, clipped, replace(off, step=60)), {}, math.inf) == ()


@pytest.mark.parametrize(
    ("spec", "lasting"),
    [
        (TaskSpec(), {"terms", "share", "speed"}),
        (TaskSpec("a", terms=(Term("x"), Term("y"))), {"terms", "share", "speed"}),
        (TaskSpec("a", terms=(Term("x"),)), {"terms", "speed"}),
        (TaskSpec("a"), {"speed"}),
        (TaskSpec("a", knows_data=False), set[str]()),
    ],
)
def test_charts_that_a_run_can_never_fill_are_not_shown_empty(spec: TaskSpec, lasting: set[str]) -> None:
    shown = {chart.id for chart in charts_for(spec) if chart.lasting}
    assert shown & {"terms", "share", "speed"} == lasting


def test_no_sign_of_the_ascii_set_names_a_curve_or_is_drawn_by_one() -> None:
    signs = {sign for field in fields(ASCII.signs) for sign in getattr(ASCII.signs, field.name)}
    assert not signs & {letter_of(number) for number in range(200)}
    dots = {chr(code) for code in ASCII.table.tolist()}
    marks = {head(kind, ASCII.signs) for kind in MarkKind} | {line(kind, ASCII.signs) for kind in MarkKind}
    assert not marks & (dots - {" "})
    assert not any(fill.isalpha() for fill in ASCII.fills + ASCII.shades)


LABELS = ("cross entropy", "dice", "boundary aware", "active contour", "contour", "iou target", "iou other", "m", "m n")


def test_a_short_label_is_a_word_that_no_other_label_has() -> None:
    short = [short_label(label, LABELS) for label in LABELS]
    assert short == ["cross", "dice", "boundary", "active", "contour", "target", "other", "m", "n"]


TERMS = ("cross entropy", "dice", "auxiliary", "boundary aware", "active contour", "contour", "distance")


def terms_legend(width: int, rows: int) -> str:
    items = [
        LegendItem(letter_of(at), at, name, f"0.12{at}4", "1.099", short_label(name, TERMS))
        for at, name in enumerate(TERMS)
    ]
    canvas = Canvas(width, rows)
    draw_legend(canvas, Area(0, 0, width, rows), items, BRAILLE)
    return " ".join(line.strip() for line in canvas.lines())


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_every_curve_has_a_name_that_tells_it_apart_or_is_counted(rows: int) -> None:
    whole = [
        (f"{letter_of(at)} {name}", f"{letter_of(at)} {short_label(name, TERMS)}") for at, name in enumerate(TERMS)
    ]
    for width in range(4, 200):
        text = f" {terms_legend(width, rows)} "
        named = [names for names in whole if any(f" {name} " in text for name in names)]
        more = int(text.rpartition("+")[2] or 0) if "+" in text else 0
        assert len(named) + more == len(TERMS), text


def test_levels_go_before_values_and_values_before_names() -> None:
    assert terms_legend(200, 1).count("/1.099") == 7
    assert terms_legend(135, 1).count("/1.099") == 0
    assert terms_legend(135, 1).count("0.12") == 7
    assert terms_legend(100, 1).count("0.12") == 0
    assert "cross entropy" in terms_legend(110, 1)
    assert "a cross  b dice" in terms_legend(88, 1)
    assert terms_legend(40, 1).endswith("+4")


def test_names_are_cut_before_curves_are_left_out_of_the_legend() -> None:
    items = [LegendItem(letter, 0, f"a long name of {letter}", "0.5", "1.1", letter * 6) for letter in "abc"]
    canvas = Canvas(60, 1)
    draw_legend(canvas, Area(0, 0, 60, 1), items, BRAILLE)
    assert canvas.lines()[0].count("/1.1") == 3
    small = Canvas(20, 1)
    draw_legend(small, Area(0, 0, 20, 1), items, BRAILLE)
    assert small.lines()[0].rstrip().endswith("+2")


def test_four_scores_share_the_first_chart_and_the_others_have_one_of_their_own() -> None:
    metrics = {chart.id: chart.metrics for chart in charts_for(SPEC.scored_by("boundary_f"))}
    assert metrics["validation"] == ("val/boundary_f", "val/miou", "val/iou_background", "val/iou_target")
    assert metrics["scores"] == ("val/iou_other", "val/miou_seed", "val/target_iou")
