"""The models that the README and the manual show are trained as they are shown."""

from __future__ import annotations

import re
import shlex
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

import main
from engine.journal.disk.find_run import find_run
from engine.journal.reader import JournalReader
from tests.conftest import ROOT


def readme_code() -> str:
    (code,) = (code for code in python_blocks(ROOT / "README.md") if "class Spirals" in code)
    return code


def python_blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def shown_command(path: Path, word: str) -> list[str]:
    """Return the words after `main.py` of the command line with `word`."""
    (line,) = re.findall(rf"^python main\.py (.*{re.escape(word)}.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return shlex.split(line)


@contextmanager
def trained(tmp_path: Path, words: list[str]) -> Generator[JournalReader]:
    """Train by a command line on the CPU, and open the run's journal."""
    assert main.main(["--no-ui", "--quiet", "--device", "cpu", "--runs-dir", str(tmp_path / "runs"), *words]) == 0
    with closing(JournalReader(find_run(tmp_path / "runs", "latest"))) as reader:
        yield reader


def test_the_model_of_the_readme_has_30_lines():
    assert sum(bool(line.strip()) for line in readme_code().splitlines()) <= 30


def test_the_model_of_the_readme_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spirals.py").write_text(readme_code(), encoding="utf-8")
    words = shown_command(ROOT / "README.md", "spirals.py:Spirals")
    with trained(tmp_path, [*words, "--epochs", "8"]) as reader:
        state = reader.state()
    assert state is not None and state.step == 400 and state.best_score is not None and state.best_score > 0.8


def test_the_example_of_the_manual_learns_with_its_component_switched_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(ROOT)
    script = tmp_path / "script.txt"
    script.write_text("90: promote --force\n", encoding="utf-8")
    words = shown_command(ROOT / "cockpit/docs/your-own-model.md", "digits.py:Digits --epochs")
    with trained(tmp_path, [*words, "--epochs", "4", "--script", str(script)]) as reader:
        assert {"val/accuracy", "loss/redraw_error", "grad_share/redraw"} <= set(reader.metric_names())
