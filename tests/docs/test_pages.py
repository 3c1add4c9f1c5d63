"""The README and the pages: short, complete, true to the files and commands they name, and in plain words."""

from __future__ import annotations

import ast
import dataclasses
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import engine.task
from cockpit.cli.arguments import parse_arguments
from cockpit.text.pages import page_names, read_page, section
from cockpit.ui.screens.tabs import PAGE_OF
from engine.errors import UserError
from engine.protocol.conditions.moment import STATE_NAMES
from engine.protocol.task_spec import Component, Metric, Phase, TaskSpec, Term
from engine.protocol.words.command_syntax import parse_command
from tests.conftest import ROOT
from tests.docs.generate import BASE_CONFIG, DOCS, TABLES, base_config, generated, generated_pages

README = ROOT / "README.md"
PAGES = [README, ROOT / ".github" / "CHANGELOG.md", *sorted(DOCS.glob("*.md"))]

MADE_BY_A_RUN = (
    *("runs/", "checkpoints/", "previews/", "forensics/", "tensorboard/", "system/", "loss/", "~/", "/"),
    *("annotations/", "images/", "masks/", "PNGImages/", "PedMasks/", "train2017/", "train/", "val/"),
)
"""Where files and metrics of a user or of a run are: the repository has none of them."""

UNPLAIN = ("somebody", "anybody", "nobody", "whoever", "beside", "stands", "at once", "anew", "tells of", "is told")


def code_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a page's bash blocks, without comments."""
    for block in re.findall(r"```bash\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL):
        for line in block.splitlines():
            yield from (part.strip(" &") for part in line.split(" # ")[0].split("&&"))


def command_lines() -> Iterator[tuple[str, str]]:
    """Yield the words after `main.py` of each command line, with the page they are on."""
    for path in PAGES:
        inline = re.findall(r"`((?:python )?main\.py [^`\[]+)`", path.read_text(encoding="utf-8"))
        for line in (*code_lines(path), *inline):
            if "main.py" in line:
                yield path.stem, line.split("main.py", 1)[1].strip()


def test_the_readme_is_at_most_220_lines():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 220


def test_the_base_config_is_as_it_is_generated():
    assert BASE_CONFIG.read_text(encoding="utf-8") == base_config(), "run python -m tests.docs.generate"


def test_the_folder_of_pages_has_at_most_twelve_entries():
    assert len(list(DOCS.iterdir())) <= 12


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_link_leads_to_a_file(path: Path):
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8"))
    local = [link for link in links if not link.startswith("http")]
    assert [link for link in local if not (path.parent / link).exists()] == []


def test_every_page_can_be_reached_from_the_readme():
    text = README.read_text(encoding="utf-8")
    assert [name for name in page_names() if f"(cockpit/docs/{name}.md)" not in text] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_file_that_is_cited_exists(path: Path):
    quoted = re.findall(r"`([^`\s]+)`", path.read_text(encoding="utf-8"))
    cited = [word.split(":")[0] for word in quoted if re.fullmatch(r"[\w./-]+(/|\.(py|md|yaml|toml|svg))(:\w+)?", word)]
    own = [name for name in cited if "/" in name and not name.startswith(MADE_BY_A_RUN)]
    alone = [name for name in cited if name.endswith((".md", ".py", ".toml")) and "/" not in name]
    assert [name for name in (*own, *alone) if not (ROOT / name).exists()] == []


def test_every_function_that_is_cited_exists():
    cited = re.findall(r"`([\w/]+\.py)`: `([\w.]+)`", (DOCS / "architecture.md").read_text(encoding="utf-8"))
    assert len(cited) == 20
    for file, name in cited:
        body: list[ast.stmt] = ast.parse((ROOT / file).read_text(encoding="utf-8")).body
        for part in name.split("."):
            found = [node for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == part]
            assert found, f"{file} has no {name}"
            body = found[0].body


@pytest.mark.parametrize("package", ["engine", "cockpit"])
def test_the_map_has_the_layers_that_import_linter_checks(package: str):
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (layers,) = (one["layers"] for one in contracts if one["type"] == "layers" and one["containers"] == [package])
    checked = [sorted(name.strip() for name in layer.split("|")) for layer in layers]
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(rf"^\| (\d+) \| `{package}/(\w+)(?:/|\.py)` \|", text, re.MULTILINE)
    shown = [sorted(name for number, name in rows if int(number) == layer) for layer in range(len(layers), 0, -1)]
    assert shown == checked


def test_every_member_of_a_task_and_every_field_of_its_spec_is_explained():
    text = (DOCS / "your-own-model.md").read_text(encoding="utf-8")
    abilities = ("Can", "Has", "Predictor", "Reports")
    optional = [kind for name, kind in vars(engine.task).items() if name.startswith(abilities)]
    members = {
        name
        for kind in (engine.task.Task, *optional)
        for name in (*vars(kind), *kind.__annotations__)
        if not name.startswith("_")
    }
    fields = {field.name for kind in (Term, Component, Phase, Metric, TaskSpec) for field in dataclasses.fields(kind)}
    assert [name for name in members | fields if not re.search(rf"`{name}\b", text)] == []


@pytest.mark.parametrize(("page", "line"), [*command_lines()], ids=lambda value: value[:50])
def test_every_command_line_is_understood(page: str, line: str):
    arguments = parse_arguments(shlex.split(line))
    if arguments.command == "send" and arguments.words != ["COMMAND"]:
        parse_command(arguments.words)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_module_that_is_run_exists(path: Path):
    modules = re.findall(r"python -m (tests[\w.]+)", path.read_text(encoding="utf-8"))
    files = [ROOT / f"{name.replace('.', '/')}.py" for name in modules if not name.endswith(".NAME")]
    assert [file for file in files if not file.exists()] == []


def test_every_benchmark_is_named_by_its_module():
    names = re.findall(r"\| `(\w+)[^`|]*` \|$", (DOCS / "benchmarks.md").read_text(encoding="utf-8"), re.MULTILINE)
    programs = set(names) - {"main"}
    assert len(programs) > 8
    assert [name for name in programs if not (ROOT / f"tests/benchmarks/{name}.py").exists()] == []


@pytest.mark.parametrize("path", generated_pages(), ids=lambda path: path.stem)
def test_generated_parts_are_up_to_date(path: Path):
    """On a failure: python -m tests.docs.generate"""
    assert path.read_text(encoding="utf-8") == generated(path.stem)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_prose_is_plain(path: Path):
    made = {row for (page, _), make in TABLES.items() if page == path.stem for row in make()}
    for line in path.read_text(encoding="utf-8").splitlines():
        found = [word for word in UNPLAIN if re.search(rf"\b{word}\b", line, re.IGNORECASE)]
        assert not found or line in made, line


@pytest.mark.parametrize("name", page_names())
def test_every_page_has_a_title_a_summary_of_one_line_and_can_be_shown_anywhere(name: str):
    page = read_page(name)
    assert page.text.startswith("# ") and page.text.isascii()
    assert page.summary.endswith(".") and len(page.summary) <= 110


def test_an_unknown_page_is_answered_with_the_nearest():
    with pytest.raises(UserError, match="did you mean 'guardian'"):
        read_page("gardian")


@pytest.mark.parametrize(("name", "title"), PAGE_OF.values())
def test_help_finds_its_section_on_every_tab(name: str, title: str):
    assert section(read_page(name), title).startswith(f"## {title}" if title else "# ")


def test_a_section_ends_where_the_next_one_of_its_level_begins():
    page = read_page("guardian")
    assert "## Alerts" not in section(page, "The promotion gate")
    with pytest.raises(UserError, match="no section 'Nothing'"):
        section(page, "Nothing")


def test_every_name_of_a_condition_is_explained():
    text = (DOCS / "commands.md").read_text(encoding="utf-8")
    rows = text.split("| name | value |")[1].split("\n\n")[0]
    assert [name for name in STATE_NAMES if f"`{name}`" not in rows] == []
