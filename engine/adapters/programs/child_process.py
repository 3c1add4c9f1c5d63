"""Start an untouched program as a child process, end it, and read what it printed last."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final

from engine.adapters.programs.command import Program
from engine.errors import UserError
from engine.journal.disk.run_dir import CONSOLE_LOG

LINK: Final = "TRAINING_COCKPIT_LINK"
"""Environment variable with the address of the cockpit, for `engine/adapters/child/sitecustomize.py`."""

_RAISED: Final = re.compile(r"\[rank\d+\]: [\w.]+: \S")
"""The line with the error and its message in the traceback of a rank, as torch prints it."""


def start_child(program: Program, address: str) -> subprocess.Popen[bytes]:
    """Start `program`, connected to the cockpit at `address`; what it prints goes to the run's console log.

    Raises UserError if it cannot be started.
    """
    environment = {**os.environ, LINK: address, "PYTHONUNBUFFERED": "1"}
    hook = str(Path(__file__).parents[1] / "child")
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (hook, os.environ.get("PYTHONPATH", ""))))
    with (program.directory / CONSOLE_LOG).open("ab") as log:
        try:
            return subprocess.Popen(
                program.command.words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # a Ctrl-C in the terminal is the cockpit's, which ends the step first
            )
        except OSError as error:
            raise UserError(f"cannot start {program.command.words[0]!r}: {error.strerror}") from error


def end_child(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """End the program and its own children."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, number)
    if number is not signal.SIGKILL:
        return
    with suppress(subprocess.TimeoutExpired):
        child.wait(5)


def last_line(program: Program) -> str:
    """Return the last line that the program printed, at most 200 characters.

    The report of torchrun ends with a rule. The first error of a rank is returned then: those of others follow from it.
    """
    log = program.directory / CONSOLE_LOG
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16384))
            text = file.read().decode("utf-8", "replace")
    except OSError as error:
        logging.getLogger(__name__).warning("%s cannot be read: %s", log, error)
        return ""
    lines = [line.strip()[:200] for line in reversed(text.splitlines()) if line.strip()]
    if lines and not any(map(str.isalnum, lines[0])):
        lines = list(filter(_RAISED.match, reversed(lines)))
    return next(iter(lines), "")
