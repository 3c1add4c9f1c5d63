"""Parts of text lines: labels with values, links, and how they are laid out and cut for a width."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from textual.content import Content
from textual.style import Style

from cockpit.ui.panels.toolkit.symbols import LABEL, STRONG
from engine.protocol.record import record

_GAP: Final = Content("  ")


@record
class LinePart:
    """A piece of a line that is never broken. Of parts that do not fit, the highest `rank` is left out first."""

    content: Content
    rank: int = 0


def part(label: str, value: str, style: str = STRONG, *, rank: int = 0) -> LinePart:
    """Return a faint label and its value; either may be an empty string."""
    return LinePart(Content.assemble((f"{label} " if label and value else label, LABEL), (value, style)), rank)


def flow(parts: Iterable[LinePart], width: int, most: int = 0) -> list[Content]:
    """Return the parts, two blanks apart, on as many lines as needed; with `most`, on at most that many."""
    kept = [piece for piece in parts if piece.content]
    lengths = [min(piece.content.cell_length, width) for piece in kept]
    breaks = _breaks(lengths, width)
    while most and len(breaks) > most and any(piece.rank for piece in kept):
        at = max(range(len(kept)), key=lambda number: (kept[number].rank, number))
        del kept[at], lengths[at]
        breaks = _breaks(lengths, width)
    if not kept:
        return []
    pieces = [cut(piece.content, width) for piece in kept]
    lines = [pieces[start:end] for start, end in zip(breaks, [*breaks[1:], len(pieces)], strict=True)]
    return [_GAP.join(line) if len(line) > 1 else line[0] for line in (lines[:most] if most else lines)]


def _breaks(lengths: Sequence[int], width: int) -> list[int]:
    """Return the numbers of the parts that begin a line."""
    breaks: list[int] = []
    room = -1
    for number, length in enumerate(lengths):
        if room < length + 2:
            breaks.append(number)
            room = width - length
        else:
            room -= length + 2
    return breaks


def cut(content: Content, width: int) -> Content:
    """Return one line of at most `width` cells, with an ellipsis if it is cut."""
    return content if content.cell_length <= width else content.truncate(max(width, 0), ellipsis=True)


def padded(text: str, width: int) -> str:
    """Return `text` in exactly `width` cells."""
    content = Content(text)
    if content.cell_length > width:
        return cut(content, width).plain
    return text + " " * (width - content.cell_length)


def wrapped(text: str, width: int, style: str = "", *, most: int = 0) -> list[Content]:
    """Return text wrapped at words; with `most`, at most that many lines, the last one cut."""
    lines = Content.styled(text, style).wrap(max(width, 1))
    if most and len(lines) > most:
        rest = Content(" ").join(lines[most - 1 :])
        return [*lines[: most - 1], rest.truncate(max(width, 1), ellipsis=True)]
    return lines


def link(text: str, action: str, argument: str = "", style: str = "bold $text-primary") -> Content:
    """Return text that runs `action` on a click."""
    return Content.styled(text, Style.from_meta({"ask": action, "argument": argument})).stylize(style)


def jump(text: str, step: int, style: str = "underline") -> Content:
    """Return text that moves the charts' cursor to `step` on a click."""
    return Content.styled(text, Style.from_meta({"jump": step})).stylize(style)
