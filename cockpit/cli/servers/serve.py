"""`main.py serve [RUN]`: show the screen on a run in a browser of this machine."""

from __future__ import annotations

import argparse
import getpass
import logging
import socket
import sys
from pathlib import Path

from cockpit.cli.servers.browser.gate import LOOPBACK, Gate
from cockpit.cli.servers.extras import check_extra
from cockpit.cli.servers.program import program_command
from engine.errors import UserError
from engine.journal.disk.run_dir import find_run, has_journal


def run_serve(arguments: argparse.Namespace) -> int:
    """Serve until a signal ends it. Raises UserError for a run without a journal, another host, or a used port."""
    if arguments.host not in LOOPBACK:
        raise UserError(_tunnel(arguments.host, arguments.port))
    check_extra("textual_serve", "browser", "main.py serve")
    directory = find_run(arguments.runs_dir, arguments.run)
    if not has_journal(directory):
        raise UserError(f"the journal of {directory.name!r} is gone: there is nothing to show")
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(message)s")
    # Importing the web server takes a quarter of a second.
    from cockpit.cli.servers.browser.server import ScreenServer, Site, announcement, serve  # noqa: PLC0415

    words = screen_words(directory, can_steer=arguments.steer)
    server = ScreenServer(Site(arguments.host, arguments.port, f"Training Cockpit: {directory.name}", words), Gate())

    def announce(address: str) -> None:
        said = announcement(address, directory.name, can_steer=arguments.steer, as_json=arguments.json)
        print(said, flush=True)

    serve(server, announce)
    return 0


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
