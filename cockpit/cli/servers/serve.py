"""`main.py serve [RUN]`: show the screen on a run in a browser of this machine."""

from __future__ import annotations

import argparse
import getpass
import json
import logging
import socket
import sys
from contextlib import nullcontext, suppress
from pathlib import Path

from cockpit.cli.servers.browser.gate import LOOPBACK, Gate
from cockpit.cli.servers.extras import check_extra
from cockpit.cli.servers.program import program_command
from engine.errors import UserError
from engine.journal.disk.find_run import find_run
from engine.journal.disk.run_dir import has_journal
from engine.protocol.record import record
from engine.protocol.words.command_syntax import program_name


def run_serve(arguments: argparse.Namespace) -> int:
    """Serve until a signal ends it.

    Raises UserError for a run without a journal, another host, or a used port, and BrokenPipeError if nothing reads the
    first address.
    """
    if arguments.host not in LOOPBACK:
        raise UserError(_tunnel(arguments.host, arguments.port))
    check_extra("textual_serve", "browser", f"{program_name()} serve")
    directory = find_run(arguments.runs_dir, arguments.run)
    if not has_journal(directory):
        raise UserError(f"the journal of {directory.name!r} is gone: there is nothing to show")
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(message)s")
    # Importing the web server takes a quarter of a second.
    from cockpit.cli.servers.browser.server import ScreenServer, Site, serve  # noqa: PLC0415

    words = screen_words(directory, can_steer=arguments.steer)
    site = Site(arguments.host, arguments.port, f"Training Cockpit: {directory.name}", words)
    said = announcement_as_json if arguments.json else announcement

    def announce(address: str, admitted: int) -> None:
        place = Admission(address, directory.name, arguments.steer, admitted, arguments.browsers)
        # The server goes on without a reader of later addresses, as in `serve --json | head -1`.
        with suppress(BrokenPipeError) if admitted else nullcontext():
            print(said(place), flush=True)

    serve(ScreenServer(site, Gate(arguments.browsers), announce))
    return 0


@record
class Admission:
    """An address that admits one more browser to the screen on `run`, and the number of those that are admitted."""

    address: str
    run: str
    can_steer: bool
    admitted: int
    limit: int


def announcement(place: Admission) -> str:
    """Return the lines that are printed for people."""
    if not place.admitted:
        kind = "steers" if place.can_steer else "watches"
        return (
            f"{place.address}\nThis address {kind} {place.run}. It works once; the browser that opens it stays "
            "admitted. Ctrl+C ends the server."
        )
    count = f"{place.admitted} of {place.limit} browsers are admitted"
    more = "the next one takes the place of another" if place.admitted == place.limit else "for one more"
    return f"{count}; {more}:\n{place.address}"


def announcement_as_json(place: Admission) -> str:
    """Return the line that is printed for programs."""
    said = {"url": place.address, "run": place.run, "steer": place.can_steer}
    return json.dumps({**said, "admitted": place.admitted, "browsers": place.limit})


def screen_words(directory: Path, *, can_steer: bool) -> list[str]:
    """Return the command of a screen on the run in `directory`."""
    return [*program_command(), "attach", str(directory.resolve()), *([] if can_steer else ["--read-only"])]


def _tunnel(host: str, port: int) -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "USER"
    there = f"ssh -L {port or 8123}:127.0.0.1:{port or 8123} {user}@{socket.gethostname()}"
    return (
        f"serve listens on this machine only, not on {host!r}: leave out --host, and from another machine open a "
        f"tunnel with {there}"
    )
