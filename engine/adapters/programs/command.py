"""The command that `run` starts: a script, a module, or any command. It is checked before torch is imported."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.errors import UserError
from engine.protocol.record import record


@record
class Command:
    """A command in words, and the name of what it trains, such as 'train.py'."""

    words: tuple[str, ...]
    name: str


@record
class Program:
    """A command to run, and the directory of its run."""

    command: Command
    directory: Path


def command_of(words: Sequence[str]) -> Command:
    """Return the command that `words` name: a script with arguments, `-m MODULE ...`, or `-- COMMAND ...`.

    Raises UserError if there is none, or a script or command does not exist.
    """
    first, *rest = list(words) or [""]
    if not first:
        raise UserError("a program is missing: write run train.py, run -m package.module, or run -- COMMAND")
    if first == "--":
        return _any_command(rest)
    if first == "-m":
        return _module(rest)
    if not Path(first).is_file():
        raise UserError(f"there is no program {first!r}: give a Python file, -m MODULE, or -- COMMAND")
    return Command((sys.executable, first, *rest), Path(first).name)


def _module(words: Sequence[str]) -> Command:
    if not words:
        raise UserError("a module is missing after -m: write run -m package.module")
    return Command((sys.executable, "-m", *words), words[0].rpartition(".")[2])


def _any_command(words: Sequence[str]) -> Command:
    if not words:
        raise UserError("a command is missing after --: write run -- torchrun --nproc-per-node 2 train.py")
    if shutil.which(words[0]) is None:
        raise UserError(f"there is no command {words[0]!r} on this machine's PATH")
    script = next((word for word in words[1:] if word.endswith(".py")), words[0])
    return Command(tuple(words), Path(script).name)
