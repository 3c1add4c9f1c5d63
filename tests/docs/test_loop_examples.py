"""The loop and the untouched program of the manual are run as they are shown, and so are the lines of the README."""

from __future__ import annotations

import dataclasses
import re
import runpy
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import main
from cockpit import Cockpit
from engine.adapters.capabilities import ADAPTERS
from engine.adapters.loop_options import LoopOptions
from engine.journal.reader import JournalReader
from engine.protocol import commands as c
from engine.protocol.events import Activity, StepSkipped
from engine.protocol.state import RunState
from engine.protocol.words.command_syntax import COMMAND_WORDS
from tests.conftest import ROOT
from tests.docs.generate import EXAMPLES, ops_of_words
from tests.docs.test_examples import python_blocks
from tests.protocol.test_command_syntax import SPELLINGS


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in an empty directory, and let a fault of the cockpit fail the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRAINING_COCKPIT_RAISE", "1")


def state_of(run: str) -> RunState:
    with closing(JournalReader(Path("runs") / run)) as reader:
        state = reader.state()
    assert state is not None
    return state


def five_lines(page: Path) -> str:
    (code,) = (code for code in python_blocks(page) if code.startswith("from cockpit import Cockpit"))
    return code


def test_the_own_loop_has_at_most_50_lines() -> None:
    assert len((EXAMPLES / "own_loop.py").read_text(encoding="utf-8").splitlines()) <= 50


def test_the_own_loop_learns_and_goes_on_when_it_is_started_again() -> None:
    main_of: Any = runpy.run_path(str(EXAMPLES / "own_loop.py"))["main"]
    main_of("shown", epochs=2)
    first = state_of("shown")
    assert first.activity is Activity.FINISHED and first.step == 94
    assert first.best_score is not None and first.best_score > 0.8
    assert first.spec.term_names == ("cross_entropy", "size") and first.knobs["noise"].value == 0.05
    main_of("shown", epochs=3, resume=True)
    assert state_of("shown").step == 141
    with closing(JournalReader(Path("runs/shown"))) as reader:
        assert "log/confidence" in reader.metric_names()


def test_the_untouched_program_survives_its_bad_sample_under_run(capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(EXAMPLES / "untouched_program.py", "program.py")
    assert main.main(["run", "--no-ui", "--quiet", "--run", "shown", "program.py", "--steps", "120"]) == 0
    with closing(JournalReader(Path("runs/shown"))) as reader:
        assert [entry.step for entry in reader.events() if isinstance(entry.event, StepSkipped)] == [61]
    assert state_of("shown").step == 120
    printed = Path("runs/shown/console.log").read_text(encoding="utf-8")
    assert "error 0." in printed
    assert "complete" in capsys.readouterr().out


def test_the_five_lines_of_the_readme_are_those_of_the_page_and_train() -> None:
    code = five_lines(ROOT / "README.md")
    assert code == five_lines(ROOT / "cockpit/docs/own-loop.md")
    model = nn.Linear(2, 2)
    names = {
        "model": model,
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.1),
        "loader": [(torch.randn(4, 2), torch.tensor([0, 1, 0, 1]))] * 3,
        "cross_entropy": nn.functional.cross_entropy,
    }
    exec(compile(code, "README.md", "exec"), names)
    state = state_of("my-run")
    assert state.step == 30 and state.spec.term_names == ("cross_entropy",)


def test_every_member_and_option_of_the_cockpit_is_explained() -> None:
    text = (ROOT / "cockpit/docs/own-loop.md").read_text(encoding="utf-8")
    members = {name for name in dir(Cockpit) if not name.startswith("_")}
    options = {field.name for field in dataclasses.fields(LoopOptions)}
    assert "validated" in members and "scaler" in options
    assert [name for name in members | options if not re.search(rf"`{name}\b", text)] == []


def test_the_table_of_abilities_knows_the_op_of_each_word() -> None:
    assert {text.split()[0]: command.op for text, command in SPELLINGS} == ops_of_words()
    assert list(ops_of_words()) == list(COMMAND_WORDS)


def test_each_refused_command_of_an_adapter_exists_and_all_declare_the_same_abilities() -> None:
    ops = {kind.op for kind in vars(c).values() if isinstance(kind, type) and hasattr(kind, "op")}
    assert {op for adapter in ADAPTERS for op in adapter.lacks} <= ops
    assert len({tuple(adapter.offers) for adapter in ADAPTERS}) == 1
