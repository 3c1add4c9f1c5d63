"""The shape of the code: sizes, names, and forbidden content of tracked files."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.architecture.sources import (
    ROOT,
    code_lines,
    functions,
    nodes_of,
    num_parameters,
    parsed,
    program_files,
    tracked_files,
    tracked_texts,
)

MAX_FILE_LINES = 450
MAX_FUNCTION_LINES = 60
MAX_CLASS_METHODS = 20
MAX_CLASS_LINES = 162
MAX_PARAMETERS = 6
SHAPELESS_NAMES = {"utils", "util", "common", "helpers", "helper", "manager", "base", "misc"}
LEFT_OVER = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:wo" + r"rk|ho" + r"me|ro" + r"ot|Us" + r"ers|t" + r"mp)/[\w.]")
WORKING_PAPERS = re.compile(r"\b(MO" + r"DEL|DE" + r"SIGN|ST" + r"YLE|PE" + r"ERS)\.md\b")


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def python_files() -> list[Path]:
    return [path for path in tracked_files() if path.suffix == ".py"]


def test_every_file_holds_one_idea():
    long = {shown(p): n for p in python_files() if (n := len(p.read_text("utf-8").splitlines())) > MAX_FILE_LINES}
    assert not long


def test_every_function_fits_on_a_screen():
    long = {
        f"{shown(path)}:{name}": lines
        for path in python_files()
        for name, lines, _ in functions(path.read_text(encoding="utf-8"), longer_than=MAX_FUNCTION_LINES)
        if lines > MAX_FUNCTION_LINES
    }
    assert not long


def test_functions_of_the_program_take_few_parameters():
    wide = {
        f"{shown(path)}:{node.name}": parameters
        for path in program_files()
        for node in nodes_of(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (parameters := num_parameters(node)) > MAX_PARAMETERS
    }
    assert not wide


def test_every_class_of_the_program_stays_small():
    large: dict[str, tuple[int, int]] = {}
    for path in program_files():
        source = path.read_text(encoding="utf-8")
        for node in nodes_of(path):
            if isinstance(node, ast.ClassDef):
                methods = sum(isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef) for part in node.body)
                lines = code_lines(node, source.splitlines())
                if methods > MAX_CLASS_METHODS or lines > MAX_CLASS_LINES:
                    large[f"{shown(path)}:{node.name}"] = (methods, lines)
    assert not large


def test_code_lines_leave_out_blanks_comments_and_docstrings():
    source = 'def f(self, a, *, b):\n    """One.\n\n    Two.\n    """\n\n    # why\n    return a  # here\n'
    assert list(functions(source)) == list(functions(source, longer_than=7)) == [("f", 2, 2)]
    assert list(functions(source, longer_than=8)) == []


def test_every_file_is_named_for_what_it_holds():
    assert [shown(path) for path in tracked_files() if path.stem.lower() in SHAPELESS_NAMES] == []


def test_every_module_of_the_program_says_what_it_is():
    bare = [shown(path) for path in program_files() if path.stat().st_size and not ast.get_docstring(parsed(path))]
    assert not bare


def test_nothing_is_left_to_do():
    assert _matches(LEFT_OVER) == []


def test_no_tracked_file_knows_this_machine():
    assert _matches(MACHINE_PATH) == []


def test_no_tracked_file_leans_on_papers_that_do_not_travel_with_it():
    assert _matches(WORKING_PAPERS) == []


def _matches(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{shown(path)}:{number}: {line.strip()[:80]}"
        for path, text in tracked_texts()
        if pattern.search(text)
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]
