"""`main.py events RUN`: print the events of a run, oldest first, and with --follow those that come."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from cockpit.cli.output import entry_to_json, print_json, print_lines
from cockpit.cli.parser import check_needed
from cockpit.session.incidents.incidents import Incidents
from cockpit.text.event_text import sentence
from cockpit.text.format import escape_control
from engine.errors import UserError, did_you_mean
from engine.journal.disk.find_run import find_run
from engine.journal.reader import Entry, JournalReader
from engine.protocol.codec import Json
from engine.protocol.commands import ENGINE
from engine.protocol.events import Status
from engine.protocol.task_spec import TaskSpec
from engine.protocol.wire import EVENT_KINDS, kind_of


def run_events(arguments: argparse.Namespace) -> int:
    """Print the events of one run, with --follow until its process has ended. Raises UserError.

    The exit code is 3 if --idle-timeout ended it.
    """
    check_needed(arguments, "--idle-timeout", "--follow")
    kinds = checked_kinds(arguments.kind)
    path = find_run(arguments.runs_dir, arguments.run)
    with closing(JournalReader(path)) as reader:
        is_over = not arguments.follow or _has_ended(reader)
        spec = reader.spec()
        entries = reader.events()
    incidents = Incidents()
    incidents.add(entries)
    wanted = of_kinds(entries, kinds)
    wanted = wanted if arguments.tail is None else wanted[-arguments.tail :]
    if arguments.json and not arguments.follow:
        print_json([_json(entry, incidents) for entry in wanted])
        return 0
    _print(wanted, incidents, spec, as_json=arguments.json)
    if not is_over:
        return _follow(path, kinds, after=entries[-1].id if entries else 0, arguments=arguments)
    return 0


def _follow(path: Path, kinds: frozenset[str] | None, *, after: int, arguments: argparse.Namespace) -> int:
    """Print the events numbered above `after`, and those that follow, until the writer's process has ended."""
    # Only --follow needs the session.
    from cockpit.cli.followed_run import TIMED_OUT, FollowTimeout, follow, poll_entries  # noqa: PLC0415
    from cockpit.session.session import Session  # noqa: PLC0415

    with closing(Session(path, can_steer=False, recent_only=True)) as session:
        try:
            for news in follow(session, lambda: poll_entries(session), arguments.idle_timeout):
                fresh = [entry for entry in news if entry.id > after]
                _print(of_kinds(fresh, kinds), session.incidents, session.spec, as_json=arguments.json)
        except FollowTimeout:
            return TIMED_OUT
    return 0


def checked_kinds(kinds: Sequence[str] | None) -> frozenset[str] | None:
    """Return the requested kinds, `None` for all. Raises UserError for an empty list and for an unknown kind."""
    if kinds is not None and not kinds:
        raise UserError("the list of kinds is empty: name some, such as alert_raised,lr_scaled, or leave it out")
    unknown = next((kind for kind in kinds or () if kind not in EVENT_KINDS), None)
    if unknown is not None:
        raise UserError(f"there is no kind of event {unknown!r}: {did_you_mean(unknown, EVENT_KINDS)}")
    return None if kinds is None else frozenset(kinds)


def of_kinds(entries: Sequence[Entry], kinds: frozenset[str] | None) -> list[Entry]:
    """Return the events of these kinds, all for `None`."""
    return [entry for entry in entries if kinds is None or kind_of(entry.event) in kinds]


def _has_ended(reader: JournalReader) -> bool:
    """Return whether no process writes the journal any more; a silent one may continue."""
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
    """Return the line of one event: time, step, outcome and sentence, then reason, actor and incident.

    `alert` is the number of the incident that the event belongs to, `None` for no incident.
    """
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.time))
    how = "" if entry.status is Status.NOTED else f"{entry.status.value}: "
    who = "" if entry.actor == ENGINE else f" [{escape_control(entry.actor)}]"
    why = f" ({escape_control(entry.reason)})" if entry.reason else ""
    of = f" [alert {alert}]" if alert is not None else ""
    return f"{when}  step {entry.step:>7}  {how}{sentence(entry.event, spec)}{why}{who}{of}"
