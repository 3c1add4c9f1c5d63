"""Words that plain technical English does without may not become more; a word that is gone stays out.

Lower a number when the text has fewer; CONTRIBUTING says what to write instead.
"""

from __future__ import annotations

import re
from typing import Final

import pytest

from tests.architecture.sources import ROOT, program_files

AT_MOST: Final = {
    "somebody": 31,
    "anybody": 5,
    "nobody": 34,
    "everybody": 5,
    "whoever": 9,
    "beside": 85,
    "anew": 22,
    "stands": 67,
    "at once": 33,
    "as then": 0,
    "by and by": 0,
    "tells of": 10,
    "is told": 5,
    "told of": 3,
    "says nothing": 8,
    "says so": 6,
    "says why": 18,
    "where there is": 56,
    "where there are": 7,
    "lies under": 0,
    "is an affair of": 1,
    "whereupon": 0,
    "thereby": 0,
    "hereby": 0,
    "leverage": 0,
    "utilize": 0,
    "seamless": 0,
}
"""How often each may stand in docstrings, comments, messages, configurations and pages."""


def _text() -> str:
    pages = [ROOT / "README.md", *(ROOT / "cockpit" / "docs").glob("*.md"), *(ROOT / ".github").rglob("*.md")]
    configs = [*(ROOT / "configs").glob("*.yaml"), ROOT / "pyproject.toml"]
    paths = [*program_files(), *pages, *configs]
    return " ".join(" ".join(path.read_text(encoding="utf-8").split()) for path in paths).lower()


@pytest.fixture(scope="module")
def text() -> str:
    return _text()


@pytest.mark.parametrize("word", AT_MOST)
def test_a_word_to_avoid_does_not_spread(word: str, text: str) -> None:
    found = len(re.findall(rf"\b{word}\b", text))
    assert found <= AT_MOST[word], f"{word!r} stands {found} times, at most {AT_MOST[word]}: choose a plainer word"
