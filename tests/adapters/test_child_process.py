"""The line that the cockpit reports of an untouched program that has ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.adapters.programs.child_process import last_line
from engine.adapters.programs.command import Program, command_of
from engine.journal.disk.run_dir import CONSOLE_LOG


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        (
            "[rank1]: ValueError: my fault\n[rank0]: RuntimeError: it is gone\ntrain.py FAILED\n=====\n",
            "[rank1]: ValueError: my fault",
        ),
        ("train.py FAILED\n=====\n", ""),
        ("ValueError: an earlier one\nno data\n\n", "no data"),
        ("", ""),
    ],
)
def test_behind_the_rule_of_a_launcher_is_the_error_of_a_rank(tmp_path: Path, printed: str, said: str) -> None:
    (tmp_path / CONSOLE_LOG).write_text(printed)
    assert last_line(Program(command_of(["--", "true"]), tmp_path)) == said
