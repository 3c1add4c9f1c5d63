"""Run a subcommand by its name; only its own module is imported."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from typing import Final, cast

_MODULES: Final = {
    "status": "commands.reading.status",
    "metrics": "commands.reading.metrics",
    "events": "commands.reading.events",
    "runs": "commands.reading.runs",
    "wait": "commands.reading.wait",
    "plot": "commands.reading.plot",
    "histogram": "commands.reading.histogram",
    "send": "commands.send",
    "compare": "commands.comparing.compare",
    "configs": "commands.configs",
    "data": "commands.data",
    "docs": "commands.docs",
    "mcp": "servers.mcp",
    "serve": "servers.serve",
}
"""The module in `cockpit.cli` of each subcommand; its function `run_<subcommand>` carries it out."""


def run_subcommand(arguments: argparse.Namespace) -> int:
    """Run `arguments.command` and return its exit code. Raises UserError.

    If the reader of a pipe closes it early (`| head`), the command ends without a message.
    """
    module = importlib.import_module(f"cockpit.cli.{_MODULES[arguments.command]}")
    try:
        code = cast(int, getattr(module, f"run_{arguments.command}")(arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code
