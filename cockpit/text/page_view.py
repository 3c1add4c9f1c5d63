"""Draw Markdown in a terminal without colours of its own, so that it fits every theme.

Imports rich's Markdown parser: import this module only when a page is shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, Heading, Markdown, MarkdownElement
from rich.padding import Padding
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


class _PlainMarkdown(Markdown):
    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "heading_open": _PlainHeading,
        "fence": _PlainCode,
        "code_block": _PlainCode,
    }


class PageView:
    """A rich renderable of `markdown`; links are shown as their text."""

    def __init__(self, markdown: str) -> None:
        self._markdown = _PlainMarkdown(_LINK.sub(r"\1", markdown))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        with console.use_theme(Theme(dict(_STYLES))):
            yield from list(console.render(self._markdown, options))
