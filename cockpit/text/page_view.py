"""Draw Markdown in a terminal without colours of its own, so that it fits every theme.

Imports rich's Markdown parser: import this module only when a page is shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.markdown import CodeBlock, Heading, Markdown, MarkdownElement, TableElement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

_STYLES: Final[Mapping[str, str]] = {
    "markdown.code": "bold",
    "markdown.code_block": "none",
    "markdown.h1": "bold underline",
    "markdown.h2": "bold underline",
    "markdown.h3": "bold",
    "markdown.item.bullet": "none",
    "markdown.item.number": "none",
    "markdown.list": "none",
    "markdown.link": "none",
    "markdown.link_url": "none",
    "markdown.table.border": "dim",
    "markdown.table.header": "bold",
}

_LINK: Final = re.compile(r"\[([^\]]+)\]\([^)]+\)")


class _PlainHeading(Heading):
    """A heading on the left, whatever its level."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text("")
        yield self.text


class _PlainCode(CodeBlock):
    """Code as it is written, indented."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Padding(Text(str(self.text).rstrip()), (0, 0, 0, 4))


_READABLE: Final = 24
"""Least columns that a table leaves to its longest column."""

_GAP: Final = 3
"""Columns of padding and border for each column of a table."""


class _WholeTable(TableElement):
    """A table that cuts no word: if it does not fit, each row becomes a paragraph."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        headings = [cell.content for cell in self.header.row.cells] if self.header and self.header.row else []
        rows = [[cell.content for cell in row.cells] for row in self.body.rows] if self.body else []
        widths = _widths(list(zip(headings, *rows, strict=False)), options.max_width)
        if widths:
            yield _table(headings, widths, rows)
        else:
            yield from (_paragraph(headings, row) for row in rows)


def _widths(columns: Sequence[Sequence[Text]], width: int) -> list[int]:
    """Return the width of each column, none below its longest word; an empty list if that leaves too little room."""
    words = [max(len(word) for cell in column for word in (cell.plain.split() or [""])) for column in columns]
    sizes = [sum(len(cell) for cell in column) for column in columns]
    room = width - _GAP * len(columns) - sum(words)
    longest = sizes.index(max(sizes))
    if room < 0 or words[longest] + room < _READABLE:
        return []
    wanted = [max(len(cell) for cell in column) for column in columns]
    shares = [room * size // sum(sizes) for size in sizes]
    return [min(most, word + share) for most, word, share in zip(wanted, words, shares, strict=True)]


def _table(headings: Sequence[Text], widths: Sequence[int], rows: Sequence[Sequence[Text]]) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False, style="markdown.table.border", collapse_padding=True)
    for heading, width in zip(headings, widths, strict=True):
        table.add_column(heading, width=width, header_style="markdown.table.header")
    for row in rows:
        table.add_row(*row)
    return table


def _paragraph(headings: Sequence[Text], row: Sequence[Text]) -> Padding:
    """Return a row as its first cell on a line of its own, then the others with their headings."""
    first, *others = row
    lines = [Text.assemble(f"{heading.plain}: ", cell) for heading, cell in zip(headings[1:], others, strict=False)]
    body = Padding(Text("\n").join(lines), (0, 0, 0, 4))
    return Padding(Group(first, body), (1, 0, 0, 0))


class _PlainMarkdown(Markdown):
    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "heading_open": _PlainHeading,
        "fence": _PlainCode,
        "code_block": _PlainCode,
        "table_open": _WholeTable,
    }


class PageView:
    """A rich renderable of `markdown`; links are shown as their text."""

    def __init__(self, markdown: str) -> None:
        self._markdown = _PlainMarkdown(_LINK.sub(r"\1", markdown))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        with console.use_theme(Theme(dict(_STYLES))):
            yield from list(console.render(self._markdown, options))
