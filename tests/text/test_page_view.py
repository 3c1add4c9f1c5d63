"""Pages on terminals of any width: no word is cut, no colour is set."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from cockpit.text.page_view import PageView
from cockpit.text.pages import page_names, read_page


def drawn(markdown: str, width: int) -> str:
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=True, color_system="truecolor").print(PageView(markdown))
    return out.getvalue()


@pytest.mark.parametrize("width", [60, 80, 84, 120])
@pytest.mark.parametrize("name", page_names())
def test_no_word_of_a_table_is_cut_on_any_terminal(name: str, width: int):
    text = read_page(name).text
    plain = re.sub(r"\x1b\[[0-9;]*m", "", drawn(text, width))
    rows = [line.replace("`", "") for line in text.splitlines() if re.match(r"\| `", line)]
    words = {word for row in rows for word in re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", row).split() if word != "|"}
    assert [word for word in words if word not in plain] == []
    assert max(map(len, plain.splitlines())) <= width


def test_a_page_has_no_colours_of_its_own():
    codes = set(re.findall(r"\x1b\[([0-9;]*)m", drawn(read_page("configuration").text, 100)))
    assert codes <= {"0", "1", "2", "3", "4", "1;4", "1;2", "2;1"}


def test_links_are_shown_as_their_text():
    said = drawn("See [guardian](guardian.md).", 80)
    assert "See guardian." in said and ".md" not in said
