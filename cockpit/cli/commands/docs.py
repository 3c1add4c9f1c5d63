"""`main.py docs [PAGE]`: list the pages of the manual, or show one."""

from __future__ import annotations

import argparse
import sys
from typing import Final

from cockpit.cli.output import print_lines
from cockpit.text.pages import page_names, read_page
from engine.protocol.words.command_syntax import program_name

_MAX_WIDTH: Final = 120
"""Maximum columns of a page: longer lines are hard to read."""


def run_docs(arguments: argparse.Namespace) -> int:
    """List the pages, or show the one called `arguments.page`. Raises UserError for an unknown page."""
    if not arguments.page:
        print_lines(_list())
        return 0
    text = read_page(arguments.page).text
    if sys.stdout.isatty() and (sys.stdout.encoding or "").lower().startswith("utf"):
        _show(text)
    else:
        print_lines(text.splitlines())
    return 0


def _list() -> list[str]:
    """Return one line for each page: its name and its summary."""
    names = page_names()
    width = max(map(len, names), default=0)
    pages = [f"{name:<{width}}  {read_page(name).summary}" for name in names]
    return [*pages, "", f"Show one with: {program_name()} docs PAGE"]


def _show(text: str) -> None:
    """Print `text` as Markdown on the terminal."""
    from rich.console import Console  # noqa: PLC0415 - a list or a pipe needs neither

    from cockpit.text.page_view import PageView  # noqa: PLC0415

    console = Console()
    console.print(PageView(text), width=min(console.width, _MAX_WIDTH))
