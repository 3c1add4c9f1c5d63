"""Scripts: commands for given steps of a run, one `STEP: COMMAND ...` per line."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from engine.errors import UserError
from engine.protocol.commands import Command
from engine.protocol.record import record
from engine.protocol.words.command_syntax import parse_command

_DIGITS: Final = 15


@record
class ScriptedCommand:
    """`command` is due at the boundary before `step` (0 or more); `line` is its line in the script, from 1."""

    step: int
    command: Command
    line: int


def read_script(path: Path | str) -> tuple[ScriptedCommand, ...]:
    """Return the commands in the file `path`, ordered by step.

    A `#` at the start of a line or after a space begins a comment. Raises UserError with file and line for invalid
    lines.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the script {path}: {getattr(error, 'strerror', error)}") from error
    lines = enumerate(map(_without_comment, text.splitlines()), start=1)
    found = (_read_line(words, f"{path}:{number}", number) for number, words in lines if words)
    return tuple(sorted(found, key=lambda scripted: scripted.step))


def _without_comment(line: str) -> str:
    head, *_ = f" {line}".replace("\t", " ").split(" #", maxsplit=1)
    return head.strip()


def _read_line(text: str, where: str, number: int) -> ScriptedCommand:
    step, colon, words = text.partition(":")
    if not colon or not step.strip().isdecimal():
        raise UserError(f"{where}: {text!r} names no step; write it like `120: lower-lr 0.5`")
    if len(step.strip()) > _DIGITS:
        raise UserError(f"{where}: the step has more than {_DIGITS} digits")
    try:
        return ScriptedCommand(int(step), parse_command(words.split()), number)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
