"""`main.py events RUN`: what happened in a run, oldest first, and what happens while it goes on."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Final

from cockpit.cli.output import entry_to_json, print_json, print_lines
from cockpit.session.incidents.incidents import Incidents
from cockpit.text.event_text import sentence
from cockpit.text.format import escape_control
from engine.errors import UserError, did_you_mean
from engine.journal.disk.run_dir import find_run
from engine.journal.reader import Entry, JournalReader
from engine.protocol.codec import Json
from engine.protocol.events import Status
from engine.protocol.task_spec import TaskSpec
from engine.protocol.wire import EVENT_KINDS, kind_of

_SECONDS_BETWEEN_LOOKS: Final = 0.25


def run_events(arguments: argparse.Namespace) -> int:
    """Print the events of one run, with --follow until it has ended. Raises UserError."""
    kinds = _checked(arguments.kind)
    incidents = Incidents()
    with closing(JournalReader(find_run(arguments.runs_dir, arguments.run))) as reader:
        is_over = not arguments.follow or _has_ended(reader)
        spec = reader.spec()
        entries = reader.events()
        incidents.add(entries)
        wanted = _of(entries, kinds)
        wanted = wanted if arguments.tail is None else wanted[-arguments.tail :]
        if arguments.json and not arguments.follow:
            print_json([_json(entry, incidents) for entry in wanted])
            return 0
        _print(wanted, incidents, spec, as_json=arguments.json)
        last = entries[-1].id if entries else 0
        while not is_over:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            is_over = _has_ended(reader)  # asked first: what is written before the end is printed
            entries = reader.events(after_id=last)
            incidents.add(entries)
            last = entries[-1].id if entries else last
            _print(_of(entries, kinds), incidents, spec, as_json=arguments.json)
    return 0


def _checked(kinds: Sequence[str] | None) -> frozenset[str] | None:
    """The kinds asked for, None for all. Raises UserError for one that there is not."""
    unknown = next((kind for kind in kinds or () if kind not in EVENT_KINDS), None)
    if unknown is not None:
        raise UserError(f"there is no kind of event {unknown!r}: {did_you_mean(unknown, EVENT_KINDS)}")
    return None if kinds is None else frozenset(kinds)


def _of(entries: Sequence[Entry], kinds: frozenset[str] | None) -> list[Entry]:
    return [entry for entry in entries if kinds is None or kind_of(entry.event) in kinds]


def _has_ended(reader: JournalReader) -> bool:
    """Whether no process writes the journal any more; one that is silent may go on."""
    session = reader.heartbeat()
    return session is None or session.ended is not None or not session.process_exists()


def _print(entries: Sequence[Entry], incidents: Incidents, spec: TaskSpec, *, as_json: bool) -> None:
    for entry in entries:
        if as_json:
            print_json(_json(entry, incidents))
        else:
            print_lines([entry_line(entry, spec, incidents.numbers.get(entry.id))])
    sys.stdout.flush()


def _json(entry: Entry, incidents: Incidents) -> dict[str, Json]:
    return {**entry_to_json(entry), "alert": incidents.numbers.get(entry.id)}


def entry_line(entry: Entry, spec: TaskSpec, alert: int | None = None) -> str:
    """When and where something happened, what, who asked for it, and why it went otherwise than asked.

    `alert` is the number of the incident that it belongs to.
    """
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.time))
    how = "" if entry.status is Status.NOTED else f"{entry.status.value}: "
    who = "" if entry.actor == "engine" else f" [{escape_control(entry.actor)}]"
    why = f" ({escape_control(entry.reason)})" if entry.reason else ""
    of = f" [alert {alert}]" if alert is not None else ""
    return f"{when}  step {entry.step:>7}  {how}{sentence(entry.event, spec)}{why}{who}{of}"
