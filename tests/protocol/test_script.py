"""Scripts: commands at steps."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import UserError
from engine.protocol import commands as c
from engine.protocol.words.script import ScriptedCommand, read_script

SCRIPT = """\
# what this run tries
120: lower-lr 0.5

40:note step #2 of the plan   # said early
\t 40 : promote --force
0: pause
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "plan.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_commands_come_in_the_order_of_their_steps_and_lines(tmp_path: Path) -> None:
    assert read_script(write(tmp_path, SCRIPT)) == (
        ScriptedCommand(0, c.Pause(), 6),
        ScriptedCommand(40, c.AddNote("step"), 4),
        ScriptedCommand(40, c.PromotePhase(force=True), 5),
        ScriptedCommand(120, c.ScaleLr(0.5), 2),
    )


def test_a_mark_inside_a_word_begins_no_comment(tmp_path: Path) -> None:
    (scripted,) = read_script(str(write(tmp_path, "1: note see issue#3")))
    assert scripted.command == c.AddNote("see issue#3")


def test_an_empty_script_is_allowed(tmp_path: Path) -> None:
    assert read_script(write(tmp_path, "# nothing yet\n\n")) == ()


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    assert read_script(write(tmp_path, "\ufeff1: pause\n")) == read_script(write(tmp_path, "1: pause\n"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("1: pause\n2: paus", "plan.txt:2: no command is called 'paus': did you mean 'pause'?"),
        ("pause", "plan.txt:1: 'pause' names no step; write it like `120: lower-lr 0.5`"),
        ("-3: pause", "names no step"),
        ("soon: pause", "names no step"),
        ("1.5: pause", "names no step"),
        ("7:", "plan.txt:1: a command is missing"),
        ("7: set-lr fast", "plan.txt:1: cannot read 'set-lr fast'"),
    ],
)
def test_a_line_that_cannot_be_read_is_named_by_file_and_number(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        read_script(write(tmp_path, text))
    assert sentence in str(caught.value)


def test_a_script_that_is_not_there_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read the script .*No such file"):
        read_script(tmp_path / "plan.txt")
    (tmp_path / "plan.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="cannot read the script"):
        read_script(tmp_path / "plan.txt")
