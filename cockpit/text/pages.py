"""Read the pages of the manual: the Markdown files in cockpit/docs/, which are part of the package."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from engine.errors import UserError, did_you_mean
from engine.protocol.record import record

_DOCS: Final = Path(__file__).resolve().parents[1] / "docs"


@record
class Page:
    """One page: its name, its one-line summary (the paragraph below the title) and its Markdown text."""

    name: str
    summary: str
    text: str


def page_names() -> tuple[str, ...]:
    """Return the names of all pages in alphabetical order."""
    return tuple(sorted(path.stem for path in _DOCS.glob("*.md")))


def read_page(name: str) -> Page:
    """Return the page called `name`. Raises UserError with the nearest name for an unknown one."""
    names = page_names()
    if name not in names:
        raise UserError(f"there is no page {name!r}: {did_you_mean(name, names)}")
    text = (_DOCS / f"{name}.md").read_text(encoding="utf-8")
    return Page(name, text.split("\n", 3)[2], text)


def section(page: Page, title: str) -> str:
    """Return the section of `page` called `title`, heading included; an empty title returns the whole page.

    Raises UserError if the page has no such section.
    """
    if not title:
        return page.text
    start = re.search(rf"^(#+) {re.escape(title)}$", page.text, re.MULTILINE)
    if start is None:
        raise UserError(f"the page {page.name!r} has no section {title!r}")
    end = re.compile(rf"^#{{1,{len(start[1])}}} ", re.MULTILINE).search(page.text, start.end())
    return page.text[start.start() : end.start() if end else len(page.text)].rstrip() + "\n"
