"""`main.py send RUN COMMAND ...`: send a command to a running run, or predict its outcome."""

from __future__ import annotations

import argparse
import getpass
from contextlib import closing
from pathlib import Path

from cockpit.cli.output import entry_to_json, print_json, print_lines
from cockpit.text.event_text import sentence
from cockpit.text.format import escape_control
from engine.errors import UserError
from engine.journal.disk.find_run import find_run
from engine.journal.reader import Entry, JournalReader
from engine.journal.sender import await_outcome, send
from engine.journal.sessions import why_unread
from engine.protocol.codec import Json
from engine.protocol.commands import OWN_ACTORS, Command
from engine.protocol.decide import Outcome, decide
from engine.protocol.events import Event, Status
from engine.protocol.task_spec import TaskSpec
from engine.protocol.wire import event_to_json, kind_of
from engine.protocol.words.command_syntax import parse_command

REFUSED, UNANSWERED = 1, 3
"""Exit codes in addition to 0; a wrong command or a run that is not running raises UserError, which is 2."""


def run_send(arguments: argparse.Namespace) -> int:
    """Send a command, or with --dry-run only decide it. Raises UserError if it cannot be sent."""
    words = [*arguments.words, *(["--force"] if arguments.force else [])]
    command = parse_command(words)
    if arguments.actor in OWN_ACTORS:
        raise UserError(f"--actor {arguments.actor}: the program itself is recorded as this: give a name of your own")
    path = find_run(arguments.runs_dir, arguments.run, to_write=not arguments.dry_run)
    if arguments.dry_run:
        return _foretell(path, command, arguments)
    number = send(path, command, arguments.actor or f"cli:{_user()}", arguments.reason.strip())
    if not arguments.wait:
        _say(arguments, {"command_id": number}, f"sent as command {number}")
        return 0
    return _await(path, number, arguments)


def _foretell(path: Path, command: Command, arguments: argparse.Namespace) -> int:
    """Print the outcome that the command would have in the run's present state."""
    found, words = predict(path, command)
    _say(arguments, found, words)
    return REFUSED if found["status"] == Status.REFUSED.value else 0


def predict(path: Path, command: Command) -> tuple[dict[str, Json], str]:
    """Return the outcome that the command would have now, as an object and as a sentence. Raises UserError."""
    with closing(JournalReader(path)) as reader:
        session, state = reader.heartbeat(), reader.state()
    if session is None or not session.is_alive():
        raise UserError(why_unread(path.name, session))
    if state is None:
        raise UserError(f"the run {path.name!r} has no state yet by which to predict an outcome: try again in a moment")
    outcome = decide(state, command, at_epoch=float(state.epoch))
    found: dict[str, Json] = {"dry_run": True, "status": outcome.status.value, "step": state.step}
    found["reason"] = outcome.reason
    if outcome.event is not None:
        found |= {"kind": kind_of(outcome.event), "event": event_to_json(outcome.event)}
    return found, f"would be {_words(outcome, outcome.event, state.step, state.spec)}"


def _await(path: Path, number: int, arguments: argparse.Namespace) -> int:
    found, words = answer_to(path, number, arguments.timeout)
    _say(arguments, found, words)
    if found["status"] is None:
        return UNANSWERED
    return REFUSED if found["status"] == Status.REFUSED.value else 0


def answer_to(path: Path, number: int, timeout: float) -> tuple[dict[str, Json], str]:
    """Wait for the outcome of the command `number`; return it as an object and as a sentence.

    Its status is `None` if there was no outcome within `timeout` seconds, or the run died.
    """
    entry = await_outcome(path, number, timeout)
    if entry is None:
        return {"command_id": number, "status": None}, _unanswered(path, number, timeout)
    with closing(JournalReader(path)) as reader:
        spec = reader.spec()
    return entry_to_json(entry), _words(entry, entry.event, entry.step, spec)


def _unanswered(path: Path, number: int, timeout: float) -> str:
    with closing(JournalReader(path)) as reader:
        alive = reader.is_alive()
    why = f"within {timeout:g} s and stays in line" if alive else "before the run's process died"
    return f"command {number} was not answered {why}"


def _words(outcome: Outcome | Entry, event: Event | None, step: int, spec: TaskSpec) -> str:
    """Return the outcome of a command in one sentence: status, step, the change and the reason."""
    said = [f"{outcome.status.value} at step {step}"]
    if outcome.status is not Status.REFUSED and event is not None:
        said.append(sentence(event, spec) + _change(event))
    if outcome.reason:
        said.append(escape_control(outcome.reason))
    return ": ".join(said)


def _change(event: Event) -> str:
    """Return ' (before 0.001, after 0.0005)' for an event with both fields, else an empty string."""
    before, after = getattr(event, "before", None), getattr(event, "after", None)
    return "" if before is None or after is None else f" (before {before}, after {after})"


def _say(arguments: argparse.Namespace, fields: dict[str, Json], words: str) -> None:
    if arguments.json:
        print_json(fields)
    else:
        print_lines([words])


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
