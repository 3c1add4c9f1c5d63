"""Check the prose: words to avoid, verbs at the start of docstrings, and the length of sentences.

Lower a number if the text has fewer. CONTRIBUTING has the rules.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.architecture.sources import ROOT, docstrings, is_property, parsed, program_files

AT_MOST: Final = {
    "somebody": 0,
    "anybody": 0,
    "nobody": 0,
    "everybody": 0,
    "whoever": 0,
    "beside": 0,
    "anew": 0,
    "stands": 1,
    "at once": 0,
    "as then": 0,
    "by and by": 0,
    "tells of": 0,
    "is told": 0,
    "told of": 0,
    "says nothing": 0,
    "says so": 0,
    "says why": 1,
    "where there is": 0,
    "where there are": 0,
    "lies under": 0,
    "is an affair of": 0,
    "whereupon": 0,
    "thereby": 0,
    "hereby": 0,
    "leverage": 0,
    "utilize": 0,
    "seamless": 0,
}
"""Maximum occurrences of each in docstrings, comments, messages, configurations and pages."""

NOT_VERBS: Final = frozenset(
    re.findall(
        r"\w+",
        "a an all and any as at because both by each every everything for from how if in is it its most no none not"
        " nothing of on one only or our same so some such that the their there these they this those to two what when"
        " where whether which while who whoever whose why with",
    )
)
"""First words of a description in place of an instruction."""

VERBS_IN_S: Final = frozenset(
    ("address", "compress", "discuss", "express", "focus", "guess", "pass", "press", "process", "suppress")
)
"""Imperatives that look like a verb in the third person or a plural."""

MOST_WORDS: Final = 25
"""Maximum words of a sentence in a docstring."""

PACKAGES: Final = tuple(
    sorted({path.parts[len(ROOT.parts) :][:2] for top in ("engine", "cockpit") for path in (ROOT / top).rglob("*.py")})
)
"""The packages and single modules of engine and cockpit, each by its first two parts."""


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
    assert found <= AT_MOST[word], f"{word!r} occurs {found} times, at most {AT_MOST[word]}: choose a plainer word"


def starts_with_a_verb(docstring: str) -> bool:
    """Return whether the first word may be an imperative: capitalised, not a function word, no third person."""
    match = re.match(r"[A-Z][a-z-]+(?=[ .,:;]|$)", docstring)
    word = match.group().lower() if match else ""
    return bool(word) and word not in NOT_VERBS and (not word.endswith("s") or word in VERBS_IN_S)


def sentences(docstring: str) -> Iterator[str]:
    """Yield the sentences of a docstring, each on one line."""
    for paragraph in docstring.split("\n\n"):
        yield from re.split(r"(?<=[.!?])\s+", " ".join(paragraph.split()))


def _modules(package: tuple[str, str]) -> list[Path]:
    return [path for path in program_files() if path.parts[len(ROOT.parts) :][:2] == package]


@pytest.mark.parametrize("package", PACKAGES, ids="/".join)
def test_the_docstring_of_a_function_starts_with_a_verb(package: tuple[str, str]) -> None:
    found = [
        f"{path.name}: {node.name}: {text}"
        for path in _modules(package)
        for node, text in docstrings(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not is_property(node)
        if not starts_with_a_verb(text)
    ]
    assert not found


@pytest.mark.parametrize("package", PACKAGES, ids="/".join)
def test_a_sentence_of_a_docstring_is_short(package: tuple[str, str]) -> None:
    found = [
        f"{path.name}: {sentence}"
        for path in _modules(package)
        for _, text in docstrings(parsed(path))
        for sentence in sentences(text)
        if len(sentence.split()) > MOST_WORDS
    ]
    assert not found


@pytest.mark.parametrize(
    ("docstring", "is_right"),
    [
        ("Return the mean.", True),
        ("Process a step.", True),
        ("The mean of a step.", False),
        ("Returns the mean.", False),
        ("`value` as text.", False),
        ("(N, 1) masks.", False),
        ("Whether it is closed.", False),
    ],
)
def test_a_description_is_told_from_an_instruction(docstring: str, is_right: bool) -> None:
    assert starts_with_a_verb(docstring) is is_right


def test_every_kind_of_docstring_is_read() -> None:
    source = '''
"""Module."""
LIMIT = 1
"""Constant."""
class Box:
    """Class."""
    side: int
    """Field."""
    @property
    def area(self):
        """Property."""
    def grow(self):
        """Method."""
        self.side = 2
        """Attribute."""
'''
    found = {text: node for node, text in docstrings(ast.parse(source))}
    assert set(found) == {"Module.", "Constant.", "Class.", "Field.", "Property.", "Method.", "Attribute."}
    assert is_property(found["Property."]) and not is_property(found["Method."])


def test_percentages_have_a_blank() -> None:
    """The format `%` of a number writes none: texts say "50 %", as the manual does."""
    found = [path.name for path in program_files() if re.search(r":\.\d%\}", path.read_text(encoding="utf-8"))]
    assert not found
