"""The options of the subcommands that serve."""

from __future__ import annotations

import argparse
import json
from typing import Final

from cockpit.cli.parser import Parser
from engine.protocol.words.command_syntax import INSTALLED_COMMAND, program_name

_SERVE_EXAMPLES: Final = """
the printed address works once; the browser that opens it stays admitted, also after a reload or a lost connection,
and an address for one more browser is printed:
  main.py serve latest
  main.py serve my-run --steer --port 9000
  main.py serve my-run --browsers 1                the next browser takes the place of the former one
from another machine:
  ssh -L 8123:127.0.0.1:8123 USER@HOST             then open the address there
"""


def add_mcp_options(parser: Parser) -> None:
    """Add the options of `mcp`."""
    parser.epilog = _mcp_example()
    parser.add_argument("--steer", action="store_true", help="let agents send commands (they only read and predict)")


def _mcp_example() -> str:
    """Return the lines of a client's configuration that start the server."""
    start = (INSTALLED_COMMAND,) if program_name() == INSTALLED_COMMAND else ("PYTHON", "main.py")
    words = [*start, "mcp", "--runs-dir", "/path/to/runs"]
    servers = {"mcpServers": {"training": {"command": words[0], "args": words[1:]}}}
    return f"\nan MCP client starts it by itself; in its configuration:\n  {json.dumps(servers)}\n"


def add_serve_options(parser: Parser) -> None:
    """Add the options of `serve`."""
    parser.epilog = _SERVE_EXAMPLES.replace("main.py", program_name())
    parser.add_argument("--steer", action="store_true", help="let the browser send commands (it only watches)")
    parser.add_argument("--port", type=_port, default=8123, metavar="N", help="the port (8123); 0 for any that is free")
    parser.add_argument("--host", default="127.0.0.1", metavar="NAME", help="127.0.0.1, localhost or ::1 (127.0.0.1)")
    parser.add_argument("--browsers", type=_browsers, default=4, metavar="N", help="admitted at the same time (4)")
    parser.add_argument("--json", action="store_true", help="print each address as a JSON object")


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no port: give a number from 0 to 65535")
    return int(text)


def _browsers(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 3 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no number of browsers: give one from 1 to 99")
    return int(text)
