"""Texts on a chart that do not fit are cut with a sign, and what matters most stays."""

from __future__ import annotations

import numpy as np
import pytest

from cockpit.charts.chart_specs import Spec
from cockpit.charts.draw.canvas import Area, Canvas
from cockpit.charts.draw.glyphs import ASCII, BRAILLE
from cockpit.charts.draw.legend import draw_legend
from cockpit.charts.draw.line_signs import LinePlot, draw_level
from cockpit.charts.inks import Ink
from cockpit.charts.scale import Scale
from cockpit.charts.scene import LegendItem, Level
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
