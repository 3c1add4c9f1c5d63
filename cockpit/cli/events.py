"""`main.py events RUN`: what happened in a run, oldest first."""

from __future__ import annotations

import argparse
import time
from contextlib import closing

from cockpit.cli.output import entry_to_json, print_json, print_lines
from cockpit.console.sentences import sentence
from cockpit.console.text import whole
from cockpit.session.incidents import incident_numbers
from engine.journal.reader import Entry, JournalReader
from engine.protocol.events import Status
from engine.runs import find_run


def run_events(arguments: argparse.Namespace) -> int:
    """Print the events of one run. Raises UserError."""
    with closing(JournalReader(find_run(arguments.runs_dir, arguments.run))) as reader:
        entries = reader.events()
    alerts = incident_numbers(entries)
    if arguments.json:
        print_json([{**entry_to_json(entry), "alert": alerts.get(entry.id)} for entry in entries])
    else:
        print_lines(entry_line(entry, alerts.get(entry.id)) for entry in entries)
    return 0


def entry_line(entry: Entry, alert: int | None = None) -> str:
    """When and where something happened, what, who asked for it, and why it went otherwise than asked.

    `alert` is the number of the incident that it belongs to.
    """
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.time))
    how = "" if entry.status is Status.NOTED else f"{entry.status.value}: "
    who = "" if entry.actor == "engine" else f" [{whole(entry.actor)}]"
    why = f" ({whole(entry.reason)})" if entry.reason else ""
    of = f" [alert {alert}]" if alert is not None else ""
    return f"{when}  step {entry.step:>7}  {how}{sentence(entry.event)}{why}{who}{of}"
