"""`main.py mcp`: serve runs to agents by the Model Context Protocol over standard input and output."""

from __future__ import annotations

import argparse
import logging
import sys

from cockpit.cli.servers.extras import check_extra
from cockpit.cli.version import version
from engine.protocol.words.command_syntax import program_name


def run_mcp(arguments: argparse.Namespace) -> int:
    """Serve until the client closes standard input. Raises UserError if the extra is not installed.

    Log messages go to standard error, as standard output belongs to the protocol.
    """
    check_extra("mcp", "agent", f"{program_name()} mcp")
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    # Importing the protocol takes half a second.
    from cockpit.cli.servers.agent.calls import Caller  # noqa: PLC0415
    from cockpit.cli.servers.agent.server import serve_stdio  # noqa: PLC0415

    serve_stdio(Caller(arguments.runs_dir, arguments.steer), version())
    return 0
