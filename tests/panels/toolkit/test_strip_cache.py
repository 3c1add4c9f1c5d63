"""A kept line looks as Textual would draw it, in exactly the width asked for, and is made once."""

from __future__ import annotations

import pytest
from textual.app import App, ComposeResult
from textual.content import Content
from textual.strip import Strip
from textual.style import Style
from textual.visual import Visual
from textual.widgets import Static

from cockpit.ui.panels.toolkit import strip_cache
from cockpit.ui.panels.toolkit.strip_cache import StripCache

LINES = {
    "plain": Content("loss 0.5"),
    "styled": Content.assemble(("loss ", "$text-muted"), ("0.5", "bold $text-error"), " rest"),
    "wide letters": Content("模型 sees 人"),
    "cut": Content("a line that is far too long for the room that there is"),
    "a tab and an escape": Content("a\tb \x1b[31m"),
    "empty": Content(""),
    "markup is text": Content("[red]not red[/]"),
}


class Stage(App[None]):
    CSS = "Static { text-wrap: nowrap; text-overflow: ellipsis; width: 24; }"

    def compose(self) -> ComposeResult:
        yield Static()


def look(strip: Strip) -> list[tuple[str, object, object, object]]:
    """Every cell with what a terminal shows of its style."""
    return [
        (letter, segment.style and segment.style.color, segment.style and segment.style.bgcolor,
         bool(segment.style and segment.style.bold))
        for segment in strip
        for letter in segment.text
    ]  # fmt: skip


@pytest.mark.parametrize("name", LINES)
async def test_a_line_looks_as_textual_draws_it(name: str) -> None:
    app = Stage()
    async with app.run_test():
        widget, width = app.query_one(Static), 24
        style = widget.visual_style
        ours = StripCache().strip(widget, 0, LINES[name], style, width)
        (theirs,) = Visual.to_strips(widget, LINES[name], width, 1, style, pad=True)
        assert ours.cell_length == width
        assert look(ours) == look(theirs.crop(0, width))


async def test_a_line_is_drawn_again_only_when_it_or_its_look_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    real = strip_cache._drawn

    def counted(widget: Static, line: Content, style: Style, width: int) -> Strip:
        drawn.append(line.plain)
        return real(widget, line, style, width)

    monkeypatch.setattr(strip_cache, "_drawn", counted)
    app = Stage()
    async with app.run_test():
        widget, kept = app.query_one(Static), StripCache()
        style = widget.visual_style
        for line, width, left in (("a", 9, 0), ("a", 9, 0), ("b", 9, 0), ("b", 8, 0), ("b", 8, 1), ("b", 8, 1)):
            assert kept.strip(widget, 3, Content(line), style, width, left).cell_length == width
        assert drawn == ["a", "b", "b", "b"]
