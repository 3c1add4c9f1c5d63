"""`main.py docs`: the list of pages, a page in a pipe and on a terminal, a page that does not exist."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from cockpit.cli.arguments import parse_arguments
from cockpit.cli.dispatch import run_subcommand
from cockpit.text.pages import page_names, read_page
from tests.conftest import ROOT


def test_the_list_has_a_line_for_each_page(capsys: pytest.CaptureFixture[str]):
    assert run_subcommand(parse_arguments(["docs"])) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, line in zip(page_names(), lines, strict=False):
        assert line.split(maxsplit=1) == [name, read_page(name).summary]


@pytest.mark.parametrize(("started", "named"), [("main.py", "main.py"), ("bin/training-cockpit", "training-cockpit")])
def test_the_list_names_the_program_as_it_was_started(
    started: str, named: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "argv", [started])
    assert run_subcommand(parse_arguments(["docs"])) == 0
    assert capsys.readouterr().out.endswith(f"Show one with: {named} docs PAGE\n")


@pytest.mark.parametrize("name", page_names())
def test_in_a_pipe_a_page_is_its_markdown(name: str, capsys: pytest.CaptureFixture[str]):
    assert run_subcommand(parse_arguments(["docs", name])) == 0
    assert capsys.readouterr().out == read_page(name).text


def test_on_a_terminal_a_page_is_formatted(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert run_subcommand(parse_arguments(["docs", "guardian"])) == 0
    said = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert "The promotion gate" in said and "##" not in said and "|---" not in said
    assert max(map(len, said.splitlines())) <= 100


def test_an_unknown_page_is_one_sentence_with_the_nearest_name():
    words = [sys.executable, "main.py", "docs", "comands"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "error: there is no page 'comands': did you mean 'commands'?\n"


def test_a_page_in_a_pipe_needs_neither_the_screen_nor_a_markdown_parser():
    code = (
        "import sys, main; main.main(['docs', 'commands']);"
        "print(sorted({'rich', 'textual', 'pydantic', 'torch', 'markdown_it'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
