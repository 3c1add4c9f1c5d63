"""Every benchmark starts: it imports, has the options that the manual names, and the programs that it embeds import."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmarks.live_screen import delays_of, ends_of
from tests.conftest import ROOT

FOLDER = Path(__file__).parent
MODULES = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith(("__", "test_")))
PROGRAMS = [name for name in MODULES if '__name__ == "__main__"' in (FOLDER / f"{name}.py").read_text(encoding="utf-8")]
MANUAL = (ROOT / "cockpit/docs/benchmarks.md").read_text(encoding="utf-8")


def documented() -> Iterator[tuple[str, str]]:
    """Yield the name and the words of each command in the table of the manual."""
    for command in re.findall(r"\| `([^`|]+)` \|$", MANUAL, re.MULTILINE):
        name, _, words = command.partition(" ")
        if name != "main.py":
            yield name, words


def embedded_imports(name: str) -> Iterator[tuple[str, str]]:
    """Yield module and name of every `from ... import` in the program texts of a benchmark."""
    for node in ast.walk(ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str) and "import " in node.value):
            continue
        try:
            program = ast.parse(node.value)
        except SyntaxError:  # prose
            continue
        for line in ast.walk(program):
            if isinstance(line, ast.ImportFrom):
                yield from ((line.module or "", alias.name) for alias in line.names)


@pytest.mark.parametrize("name", MODULES)
def test_a_benchmark_imports(name: str):
    module = importlib.import_module(f"tests.benchmarks.{name}")
    assert (module.__doc__ or "").strip()


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_benchmark_has_the_options_that_the_manual_names(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"tests.benchmarks.{name}").main()
    known = set(re.findall(r"--[\w-]+", capsys.readouterr().out))
    named = {option for program, words in documented() if program == name for option in re.findall(r"--[\w-]+", words)}
    assert ended.value.code == 0
    assert named <= known


def test_the_manual_names_every_benchmark_and_no_other():
    assert {name for name, _ in documented()} == set(PROGRAMS)
    assert any(words for _, words in documented())


def test_the_programs_that_benchmarks_embed_import_what_exists():
    found = {pair: name for name in PROGRAMS for pair in embedded_imports(name)}
    assert {"chart_history", "cockpit_latency", "coco_reading"} <= set(found.values())
    lost = [(name, *pair) for pair, name in found.items() if not hasattr(importlib.import_module(pair[0]), pair[1])]
    assert lost == []


def test_the_delay_of_a_row_ends_with_the_first_later_step_that_is_shown() -> None:
    written = [(step, float(step)) for step in range(1, 9)]
    seen = [(2, 2.5), (5, 6.0), (6, 6.25)]
    assert delays_of(written, seen) == [3.0, 2.0, 1.0, 0.25]


def test_what_has_arrived_ends_where_the_next_one_starts() -> None:
    assert ends_of([(0.1, 0), (0.2, 10), (0.3, 25)]) == [(0.1, 10), (0.2, 25)]
    assert ends_of([]) == []
