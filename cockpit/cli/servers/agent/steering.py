"""Tools that steer a run, or that compute: send and diagnose."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any, Final

from cockpit.cli.commands.send import answer_to, predict
from cockpit.cli.servers.agent.calls import Caller, DiagnoseArguments, SendArguments
from cockpit.cli.servers.program import program_command
from engine.errors import UserError
from engine.journal.sender import send
from engine.protocol.codec import Json
from engine.protocol.words.command_syntax import parse_command, program_name

_LOOK_SECONDS: Final = 0.5
"""Seconds between two looks at the cancellation of a call."""

_LONGEST_ERROR: Final = 500


def send_to(arguments: SendArguments, caller: Caller) -> dict[str, Json]:
    """Send a command and wait for its outcome, or only predict it. Raises UserError if it cannot be sent."""
    command = parse_command([arguments.command, *map(_word, arguments.arguments)])
    if arguments.dry_run:
        found, words = predict(caller.find(arguments.run), command)
        return {**found, "text": words}
    if not caller.can_steer:
        started = f"{program_name()} mcp --steer"
        raise UserError(f"this server is read-only: a person has to start it with `{started}`; until then use dry_run")
    if not arguments.reason.strip():
        raise UserError("send needs the argument reason: say in one sentence why, for the people who read the journal")
    path = caller.find(arguments.run, to_write=True)
    number = send(path, command, caller.actor, arguments.reason.strip())
    deadline = time.monotonic() + arguments.timeout
    while True:
        found, words = answer_to(path, number, min(_LOOK_SECONDS, max(deadline - time.monotonic(), 0.0)))
        is_over = time.monotonic() >= deadline or caller.is_cancelled() or "died" in words
        if found["status"] is not None or is_over:
            return {**found, "text": words}


def _word(value: str | float | bool) -> str:
    """Return an argument as a word of the command line."""
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def diagnose_in_child(arguments: DiagnoseArguments, caller: Caller) -> dict[str, Json]:
    """Replay a recorded fault in a child process, which imports torch; it is ended when the time is up.

    Raises UserError if the child fails or takes too long.
    """
    path = caller.find(arguments.run)
    step = [] if arguments.step is None else ["--step", str(arguments.step)]
    words = [*program_command(), "diagnose", str(path.resolve()), "--json", *step]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True) as child:
        try:
            printed, complained = _outputs(child, arguments.timeout, caller)
        finally:
            child.kill()
    if not printed.strip():
        lines = complained.strip().splitlines() or [f"diagnose ended with code {child.returncode}"]
        raise UserError(lines[-1].removeprefix("error: ")[:_LONGEST_ERROR])
    found: dict[str, Json] = json.loads(printed)
    return {"run": path.name, **found}


def _outputs(child: subprocess.Popen[str], seconds: float, caller: Caller) -> tuple[str, str]:
    """Return what the child prints until its end. Raises UserError if it takes more than `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            output: tuple[Any, Any] = child.communicate(timeout=_LOOK_SECONDS)
            return output
        except subprocess.TimeoutExpired:
            if time.monotonic() >= deadline or caller.is_cancelled():
                raise UserError(
                    f"the replay took more than {seconds:g} s and was ended: give a longer timeout"
                ) from None
