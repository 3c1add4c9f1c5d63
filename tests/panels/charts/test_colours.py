from __future__ import annotations

import pytest
from textual.app import App
from textual.color import Color

from cockpit.charts.inks import Ink
from cockpit.preferences.themes import THEMES
from cockpit.ui.panels.charts.colours import ink_styles


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_every_ink_has_a_colour_that_stands_out_from_the_background(theme) -> None:
    variables = theme.to_color_system().generate()
    background = Color.parse(variables["background"])
    styles = ink_styles(variables, background, dark=theme.dark)
    assert set(styles) == set(Ink)
    for ink, style in styles.items():
        if ink is not Ink.ON_CURVE:  # it stands on a curve's colour
            assert style.color is not None and style.color != background.rich_color, ink
    assert [ink for ink, style in styles.items() if style.bgcolor != background.rich_color] == [Ink.CURSOR]


def test_themes_that_textual_brings_have_the_inks_as_well() -> None:
    app: App[None] = App()
    for theme in app.available_themes.values():
        variables = theme.to_color_system().generate()
        background = Color.parse(variables["background"])
        assert set(ink_styles(variables, background, dark=theme.dark)) == set(Ink)
