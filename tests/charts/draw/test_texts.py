"""Texts on a chart that do not fit are cut with a sign, and what matters most stays."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from rich.cells import cell_len

from cockpit.charts.chart_specs import Spec
from cockpit.charts.draw.canvas import Area, Canvas
from cockpit.charts.draw.glyphs import ASCII, BRAILLE
from cockpit.charts.draw.legend import draw_legend
from cockpit.charts.draw.line_signs import LinePlot, draw_level
from cockpit.charts.inks import Ink
from cockpit.charts.scale import Scale
from cockpit.charts.scene import LegendItem, Level
from tests.charts.array_history import ArrayHistory
from tests.charts.cases import feed_of, history_of, picture

HEAT = ("grad_norm/characters", "grad_norm/target_branch", "grad_norm/unet")


def test_a_text_is_cut_to_any_width() -> None:
    for glyphs in (BRAILLE, ASCII):
        assert all(len(glyphs.cut("characters", width)) == min(width, 10) for width in range(12))
        assert glyphs.cut("characters", 8).endswith(glyphs.dots) and glyphs.cut("characters", 10) == "characters"


def test_the_name_of_a_single_curve_is_cut_and_its_value_stays() -> None:
    item = LegendItem("a", 0, "unet.bottleneck.residual.0.second.weight", "0.5")
    for glyphs in (BRAILLE, ASCII):
        canvas = Canvas(30, 1)
        draw_legend(canvas, Area(0, 0, 30, 1), [item], glyphs)
        assert canvas.lines()[0].rstrip().endswith(f"{glyphs.dots} 0.5")


@pytest.mark.parametrize(("width", "said"), [(80, "characters     "), (46, "chara… "), (30, "charact…")])
def test_the_names_of_a_heat_map_leave_room_for_its_values(width: int, said: str) -> None:
    feed = feed_of(history_of(HEAT, np.ones(100)))
    lines = picture(Spec("h", "Heat", prefix="grad_norm/", kind="heat"), feed, (width, 12)).lines()
    (row,) = (line for line in lines if "chara" in line)
    assert said in row and (width == 30 or row.partition("┤")[0].endswith(" 1"))


@pytest.mark.parametrize("width", [40, 60])
def test_a_title_is_cut(width: int) -> None:
    names = ("time/data_wait", "time/forward", "time/backward", "time/optimizer")
    spec = Spec("t", ", ".join(names), metrics=names)
    assert "… ─" in picture(spec, feed_of(history_of(names, np.ones(100))), (width, 12)).lines()[0]


@pytest.mark.parametrize("first", [*range(0, 33, 4), *range(33, 40)])
def test_the_name_of_a_level_is_whole_also_if_its_line_begins_near_the_edge(first: int) -> None:
    plot = LinePlot(Canvas(40, 9), Area(0, 0, 40, 9), Scale(0.0, 2.0), BRAILLE)
    draw_level(plot, Level(1.0, "chance level 1", Ink.CHANCE, ((0, 1.5), (first, 1.0)), short="chance 1"))
    assert any(f" {name} " in line for line in plot.canvas.lines() for name in ("chance level 1", "chance 1"))


@pytest.mark.parametrize("kind", ["lines", "stack", "heat"])
def test_names_of_any_characters_keep_the_frame(kind: Literal["lines", "stack", "heat"]) -> None:
    names = ("log/精度🙂", "log/e\u0301\u0301te\u0301", "log/a\x1b[31m\tb\u202e")
    spec = Spec("x", "損失関数", kind=kind, metrics=names)
    history = ArrayHistory.dense({name: np.ones(30) for name in names})
    for width in range(8, 60):
        for line in picture(spec, feed_of(history), (width, 12)).lines():
            assert cell_len(line) == width and line.isprintable()
    lines = picture(spec, feed_of(history), (60, 12)).lines()
    assert "損失関数" in lines[0] and any("精度🙂" in line for line in lines)
    assert any("a\\x1b[31m" in line for line in lines)


def test_one_name_that_is_longer_than_a_row_hides_no_other() -> None:
    canvas = Canvas(38, 3)
    names = ("d1", "n" * 100, "nan1", "last")
    items = [LegendItem(letter, 0, name, "1.5") for letter, name in zip("abcd", names, strict=True)]
    draw_legend(canvas, Area(0, 0, 38, 3), items, BRAILLE)
    rows = canvas.lines()
    assert rows[0].split() == ["a", "d1"] and rows[2].split() == ["c", "nan1", "d", "last"]
    assert rows[1].startswith(" b nnn") and rows[1].rstrip().endswith(BRAILLE.dots)
