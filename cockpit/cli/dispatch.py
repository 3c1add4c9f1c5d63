"""Run a subcommand by its name; only its own module is imported."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from typing import Final, cast

_HANDLERS: Final = {
    "status": "run_status",
    "metrics": "run_metrics",
    "events": "run_events",
    "runs": "run_runs",
    "send": "run_send",
    "wait": "run_wait",
    "plot": "run_plot",
    "configs": "run_configs",
    "data": "run_data",
    "docs": "run_docs",
}

_COMPARING: Final = {"compare": "run_compare"}

_SERVERS: Final = {"mcp": "run_mcp", "serve": "run_serve"}
"""Subcommands that serve until they are ended, in a folder of their own."""


def run_subcommand(arguments: argparse.Namespace) -> int:
    """Run `arguments.command` and return its exit code. Raises UserError.

    If the reader of a pipe closes it early (`| head`), the command ends without a message.
    """
    places = (("commands", _HANDLERS), ("commands.comparing", _COMPARING), ("servers", _SERVERS))
    folder, table = next(place for place in places if arguments.command in place[1])
    module = importlib.import_module(f"cockpit.cli.{folder}.{arguments.command}")
    try:
        code = cast(int, getattr(module, table[arguments.command])(arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code
