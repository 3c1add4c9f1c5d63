"""The lines of the preview panel around its pictures: the names of the layers, and the legend."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from textual.content import Content
from textual.style import Style

from cockpit.ui.panels.preview.layers import ERROR_COLOURS, ERROR_LETTERS, Layer, Palette, Rgb
from cockpit.ui.panels.toolkit.line_parts import LinePart, flow
from cockpit.ui.panels.toolkit.symbols import ACTIVE, LABEL

STRIP: Final = "history"
"""The name in the list of layers under which the predictions of a sample over time are shown."""


def switch_lines(names: Iterable[str], shown: str, width: int) -> list[Content]:
    """Return the names of the layers and of the history, the shown one in brackets; a click on one names it."""
    pieces: list[Content] = []
    for name in (*names, STRIP):
        text = Content.styled(*((f"[{name}]", f"bold {ACTIVE}") if name == shown else (f" {name} ", LABEL)))
        pieces.append(text.stylize(Style.from_meta({"layer": name})))
    wide = flow(map(LinePart, pieces), width, 2)
    return wide if len(wide) < 2 else _close(pieces, width)


def _close(pieces: Iterable[Content], width: int) -> list[Content]:
    """Return the pieces without blanks between them on as few lines as possible."""
    lines: list[Content] = []
    for piece in pieces:
        if lines and lines[-1].cell_length + piece.cell_length <= width:
            lines[-1] = lines[-1].append(piece)
        else:
            lines.append(piece)
    return lines


def legend_of(palette: Palette, layers: tuple[Layer, ...]) -> list[LinePart]:
    """Return colour, letter and name of each class and, with an error layer, of each error."""
    names = [*zip(palette.names[1:], palette.colours[1:], palette.letters[1:], strict=False)]
    kinds = [*zip(("FN", "FP", "wrong class"), ERROR_COLOURS[1:], ERROR_LETTERS[1:], strict=True)]
    wrong = kinds if any(layer.name == "error" for layer in layers) else []
    return [_key(*row) for row in (*names, *wrong)]


def _key(name: str, colour: Rgb, letter: str) -> LinePart:
    red, green, blue = (int(value) for value in colour)
    return LinePart(
        Content.assemble((f" {letter} ", f"bold #101010 on rgb({red},{green},{blue})"), (f" {name}", LABEL))
    )
