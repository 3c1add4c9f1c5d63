"""The project's files as the architecture tests read them, and measures of their code."""

from __future__ import annotations

import ast
import inspect
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def tracked_files() -> list[Path]:
    """Return every existing file that git tracks."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def tracked_texts() -> Iterator[tuple[Path, str]]:
    """Return every tracked file that is UTF-8 text, with its text."""
    for path in tracked_files():
        try:
            yield path, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def program_files() -> list[Path]:
    """Return the Python files of engine/ and cockpit/, and main.py."""
    found = [*(ROOT / "engine").rglob("*.py"), *(ROOT / "cockpit").rglob("*.py"), ROOT / "main.py"]
    return sorted(path for path in found if path.is_file())


def module_names(package: str) -> list[str]:
    """Return the dotted name of every module below the top-level `package`, without the examples of the manual."""
    paths = sorted(path for path in (ROOT / package).rglob("*.py") if "examples" not in path.parts)
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    return [name.removesuffix(".__init__") for name in names]


@cache
def parsed(path: Path) -> ast.Module:
    """Return the syntax tree of a file, which the tests of a module share."""
    return ast.parse(path.read_text(encoding="utf-8"))


def walk(tree: ast.AST) -> list[ast.AST]:
    """Return a node and all nodes below it, as `ast.walk` does in three times the time."""
    found = [tree]
    for node in found:  # which grows meanwhile
        for value in vars(node).values():
            if isinstance(value, ast.AST):
                found.append(value)
            elif isinstance(value, list):
                found.extend(part for part in value if isinstance(part, ast.AST))
    return found


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    """Return all nodes of a file, which the tests of a module share."""
    return tuple(walk(parsed(path)))


@cache
def functions(source: str, *, longer_than: int = 0) -> tuple[tuple[str, int, int], ...]:
    """Return each function's name, its code lines, and its number of parameters without self and cls.

    A function of at most `longer_than` lines is left out: its code lines are not counted.
    """
    return tuple(_measured(source, longer_than))


def _measured(source: str, longer_than: int) -> Iterator[tuple[str, int, int]]:
    lines = source.splitlines()
    for node in walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if (node.end_lineno or 0) - node.lineno < longer_than:
                continue
            yield node.name, code_lines(node, lines), num_parameters(node)


def num_parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the number of parameters of a function without self and cls."""
    arguments = node.args
    parameters = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return sum(parameter.arg not in ("self", "cls") for parameter in parameters)


def code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, lines: list[str]) -> int:
    """Return the lines of a definition that are not blank, not a comment, and not in a docstring."""
    documented: set[int] = set()
    for inner in walk(node):
        body = getattr(inner, "body", None)
        if (
            isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and body
            and ast.get_docstring(inner, clean=False)
        ):
            documented |= set(range(body[0].lineno, (body[0].end_lineno or 0) + 1))
    own = range(node.lineno, (node.end_lineno or node.lineno) + 1)
    return sum(
        number not in documented and bool(text := lines[number - 1].strip()) and not text.startswith("#")
        for number in own
    )


def docstrings(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Yield each docstring with the module, class, function or assignment that it documents."""
    for node in walk(tree):
        body = getattr(node, "body", None)
        statements = body if isinstance(body, list) else []
        for documented, statement in zip([node, *statements], statements, strict=False):
            match statement:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    yield documented, inspect.cleandoc(text)


def is_property(node: ast.AST) -> bool:
    """Return whether a function is a property, whose docstring is a noun phrase."""
    decorators = getattr(node, "decorator_list", [])
    return any(ast.unparse(decorator).endswith(("property", ".setter")) for decorator in decorators)


def imports_of(source: str, module: str, known: set[str]) -> set[str]:
    """Return the modules of `known` that the source imports: at the top, in functions and for types."""
    found: set[str] = set()
    for node in walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            origin = _absolute(node, module)
            parts = {f"{origin}.{alias.name}" for alias in node.names}
            found |= {part if part in known else origin for part in parts}
    return {name for name in found if name in known and name != module}


def _absolute(node: ast.ImportFrom, module: str) -> str:
    if not node.level:
        return node.module or ""
    package = ".".join(module.split(".")[: -node.level])
    return f"{package}.{node.module}" if node.module else package
