"""The words of the person task belong to it: generic code reads names and nouns from the spec of the run's task."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from engine.tasks.person.spec import SPEC
from tests.architecture.sources import ROOT, walk

TASK: Final = ROOT / "engine" / "tasks" / "person"
OWN_NAMES: Final = (*SPEC.term_names, *SPEC.component_names, *(metric.name for metric in SPEC.metrics))
EVERYDAY: Final = {"auxiliary", "contour", "distance"}
"""Names that are words of other subjects too."""

NAMES: Final = re.compile(rf"\b({'|'.join(name for name in OWN_NAMES if name not in EVERYDAY)})\b")
NOUNS: Final = re.compile(r"\b(refinements?|regions? of interest|rois?|max_miou_drop|miou)\b", re.IGNORECASE)

WIRE: Final = ROOT / "engine" / "protocol" / "wire.py"
FORMER: Final = f"{WIRE.relative_to(ROOT)}: 'miou'"
"""The field of earlier journals that the wire format still reads."""

FIELDS: Final = {
    FORMER,
    "engine/runtime/start/changed_config.py: 'refinements'",  # the field of the state
    "engine/outputs/fault_report.py: 'refinement'",  # the noun of reports that lack it
}


def test_no_name_of_the_person_task_is_a_literal_of_generic_code() -> None:
    paths = [*_files("engine"), *_files("cockpit")]
    assert len(paths) > 200
    assert set(_found(NAMES, paths)) <= {FORMER}


def test_generic_code_says_component_and_sample_with_the_words_of_the_spec() -> None:
    assert _found(NOUNS, _files("cockpit")) == []
    assert set(_found(NOUNS, _files("engine"))) == FIELDS


@pytest.mark.parametrize(
    ("pattern", "line"),
    [(NAMES, 'x = "loss_raw/dice"'), (NOUNS, 'x = f"{n} refinements on"'), (NAMES, 'state.weights["boundary_aware"]')],
)
def test_a_literal_is_noticed(pattern: re.Pattern[str], line: str) -> None:
    assert [text for text in _literals(line) if pattern.search(text)]


def test_a_docstring_is_no_literal() -> None:
    assert (
        list(_literals('"""Return `dice`."""\n\ndef f():\n    """Return miou."""\n    x = 1\n    """Refinements."""\n'))
        == []
    )


def _files(package: str) -> list[Path]:
    """Return the modules of `package`, without those of the person task and the examples of the manual."""
    return [
        path for path in (ROOT / package).rglob("*.py") if TASK not in path.parents and "examples" not in path.parts
    ]


def _found(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}: {text[:80]!r}"
        for path in paths
        if pattern.search(source := path.read_text(encoding="utf-8"))
        for text in _literals(source)
        if pattern.search(text)
    ]


def _literals(source: str) -> Iterator[str]:
    """Yield the texts of a module that are values; a docstring is a statement of its own."""
    nodes = walk(ast.parse(source))
    documentation = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.value
