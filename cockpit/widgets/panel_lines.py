"""Panels made of lines of text that are laid out anew for every width, and the parts that lines are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from textual import events
from textual.content import Content
from textual.geometry import Size
from textual.style import Style

from cockpit.widgets.panel import Ask, JumpTo, Panel
from cockpit.widgets.panel_signs import LABEL, STRONG, signs_for
from engine.journal.reader import Entry


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a line that is never broken. Of parts that do not fit, those of the highest `rank` go first."""

    content: Content
    rank: int = 0


def part(label: str, value: str, style: str = STRONG, *, rank: int = 0) -> Part:
    """A label in a faint voice and its value; either may be ''."""
    return Part(Content.assemble((f"{label} " if label and value else label, LABEL), (value, style)), rank)


def flow(parts: Iterable[Part], width: int, most: int = 0) -> list[Content]:
    """Parts two blanks apart on as many lines as they need; with `most`, on so many lines at most."""
    kept = list(parts)
    lines = _flowed(kept, width)
    while most and len(lines) > most and any(piece.rank for piece in kept):
        kept.remove(max(reversed(kept), key=lambda piece: piece.rank))
        lines = _flowed(kept, width)
    return lines[:most] if most else lines


def _flowed(parts: Sequence[Part], width: int) -> list[Content]:
    lines: list[Content] = []
    for piece in parts:
        content = cut(piece.content, width)
        if lines and lines[-1].cell_length + 2 + content.cell_length <= width:
            lines[-1] = Content("  ").join([lines[-1], content])
        elif content:
            lines.append(content)
    return lines


def cut(content: Content, width: int) -> Content:
    """One line of at most `width` cells, an ellipsis where something is missing."""
    return content if content.cell_length <= width else content.truncate(max(width, 0), ellipsis=True)


def padded(text: str, width: int) -> str:
    """`text` in exactly `width` cells."""
    content = Content(text)
    if content.cell_length > width:
        return cut(content, width).plain
    return text + " " * (width - content.cell_length)


def wrapped(text: str, width: int, style: str = "", *, most: int = 0) -> list[Content]:
    """Prose broken between words; with `most`, so many lines at most, the last one cut."""
    lines = Content.styled(text, style).wrap(max(width, 1))
    if most and len(lines) > most:
        rest = Content(" ").join(lines[most - 1 :])
        return [*lines[: most - 1], rest.truncate(max(width, 1), ellipsis=True)]
    return lines


def link(text: str, action: str, argument: str = "", style: str = "bold $text-primary") -> Content:
    """Text that does on a click what the key of `action` does."""
    return Content.styled(text, Style.from_meta({"ask": action, "argument": argument})).stylize(style)


def jump(text: str, step: int, style: str = "underline") -> Content:
    """Text that takes the charts' cursor to `step` on a click."""
    return Content.styled(text, Style.from_meta({"jump": step})).stylize(style)


def since(entries: Sequence[Entry], last_id: int) -> list[Entry]:
    """The entries numbered above `last_id`, oldest first; costs as much as there are."""
    fresh: list[Entry] = []
    for entry in reversed(entries):
        if entry.id <= last_id:
            break
        fresh.append(entry)
    return fresh[::-1]


class Lines(Panel):
    """A panel as tall as its lines. `marker` 'ascii' asks for characters that every font has.

    It is painted again only when a line of it has changed.
    """

    DEFAULT_CSS = """
    Lines {
        height: auto;
        text-wrap: nowrap;
        text-overflow: ellipsis;
    }
    """

    def __init__(self, *, marker: str = "braille", id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.signs = signs_for(marker)
        self._painted: list[Content] | None = None

    def lines(self, width: int) -> list[Content]:
        """What there is to say, in lines of at most `width` cells."""
        raise NotImplementedError

    def repaint(self) -> None:
        """Paint what has changed; ask for another height where the number of lines has."""
        before, now = self._painted, self.lines(self._width())
        self._painted = now
        if before is None or len(now) != self.content_size.height:
            self.refresh(layout=True)
        elif not all(one.is_same(other) for one, other in zip(before, now, strict=True)):
            self.refresh()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """The number of lines at that width."""
        return len(self.lines(max(width, 1)))

    def render(self) -> Content:
        """The lines, whatever is too long cut."""
        width = self._width()
        return Content("\n").join(cut(line, width) for line in self.lines(width))

    def _width(self) -> int:
        return max(self.content_size.width, 1)

    def on_click(self, event: events.Click) -> None:
        """A click on a link does what its key does, a click on a step takes the charts there."""
        meta = event.style.meta
        if "ask" in meta:
            event.stop()
            self.post_message(Ask(meta["ask"], meta.get("argument", "")))
        elif "jump" in meta:
            event.stop()
            self.post_message(JumpTo(meta["jump"]))
