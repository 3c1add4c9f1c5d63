"""Imports between modules: no screen in the engine, no torch in readers and screen, no import cycles."""

from __future__ import annotations

import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from tests.architecture.sources import ROOT, imports_of, module_names

SCREEN = ("textual", "rich", "plotext", "cockpit")
HEAVY = ("torch", "torchvision")

IMPORT_EACH = """
import importlib, sys
forbidden = sys.argv[1].split(",")
for name in sys.argv[2:]:
    importlib.import_module(name)
    seen = [word for word in forbidden if word in sys.modules]
    if seen:
        sys.exit(f"{name} brings in {', '.join(seen)}")
"""

RUN_MAIN = """
import sys
from main import main
for words in sys.argv[1:]:
    code = main(words.split())
    heavy = [word for word in ("torch", "textual") if word in sys.modules]
    print(f"{words}: exit {code}, imported {', '.join(heavy) or 'nothing heavy'}", flush=True)
"""

ANSWERED_AT_ONCE = [
    ("configs", 0),
    ("configs --show tiny", 0),
    ("runs", 0),
    ("attach latest", 2),
    ("status latest", 2),
    ("metrics latest", 2),
    ("events latest", 2),
    ("plot latest", 2),
    ("diagnose latest", 2),
    ("predict latest photo.jpg --box 1,2,3,4", 2),
    ("data statistics nowhere", 2),
    ("diagnose latest --ablate", 2),
    ("send latest pause", 2),
    ("wait latest --until step>1", 2),
    ("metrics latest --follow --json", 2),
    ("data inspect no_such_folder", 2),
    ("--no-ui --config tini", 2),
    ("--no-ui --config tiny --set training.epoch=1", 2),
    ("--no-ui --resume latest", 2),
]


def run_python(program: str, *words: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)


def test_no_module_of_the_cockpit_brings_in_torch():
    done = run_python(IMPORT_EACH, ",".join(HEAVY), *module_names("cockpit"))
    assert done.returncode == 0, done.stderr


def test_no_module_of_the_engine_brings_in_the_screen():
    done = run_python(IMPORT_EACH, ",".join(SCREEN), *module_names("engine"))
    assert done.returncode == 0, done.stderr


def test_the_first_frames_and_the_list_of_runs_need_no_numpy():
    done = run_python(IMPORT_EACH, "numpy", "main", "cockpit.app.app", "cockpit.app.runs_app", "cockpit.app.runner")
    assert done.returncode == 0, done.stderr


def test_an_import_that_is_forbidden_is_noticed():
    done = run_python(IMPORT_EACH, "rich", "json", "rich.text")
    assert "rich.text brings in rich" in done.stderr


def test_readers_and_mistakes_are_answered_without_torch(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    done = run_python(RUN_MAIN, *(words for words, _ in ANSWERED_AT_ONCE), folder=tmp_path)
    answers = [line for line in done.stdout.splitlines() if ": exit " in line]
    assert answers == [f"{words}: exit {code}, imported nothing heavy" for words, code in ANSWERED_AT_ONCE], done.stderr


def test_no_imports_go_in_a_circle_deferred_ones_included():
    modules = {name: path for package in ("engine", "cockpit") for name, path in _paths(package).items()}
    graph = {name: imports_of(path.read_text(encoding="utf-8"), name, set(modules)) for name, path in modules.items()}
    assert sum(map(len, graph.values())) > 100
    assert circle(graph) == []


def _paths(package: str):
    paths = {name: ROOT.joinpath(*name.split(".")) for name in module_names(package)}
    return {name: path / "__init__.py" if path.is_dir() else path.with_suffix(".py") for name, path in paths.items()}


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Return the modules of one import cycle, or an empty list."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_a_circle_is_noticed_also_through_a_deferred_import():
    known = {"p.a", "p.b", "p.c"}
    graph = {
        "p.a": imports_of("from p import b", "p.a", known),
        "p.b": imports_of("import p.c", "p.b", known),
        "p.c": imports_of("def f():\n    from .a import x", "p.c", known),
    }
    assert set(circle(graph)) == known


def test_package_roots_are_empty():
    roots = [path for part in ("engine", "cockpit") for path in (ROOT / part).rglob("__init__.py")]
    assert roots
    door = ROOT / "cockpit" / "__init__.py"  # `from cockpit import Cockpit` imports it when it is asked for
    assert [path for path in roots if path.stat().st_size] == [door]
