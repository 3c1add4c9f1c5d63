"""From a subcommand's name to the function that carries it out; only that one module is imported."""

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
    "plot": "run_plot",
    "configs": "run_configs",
    "data": "run_data",
    "docs": "run_docs",
}


def run_subcommand(arguments: argparse.Namespace) -> int:
    """Carry out `arguments.command` and return the exit code. Raises UserError.

    A reader that closes the pipe early (`| head`) ends it quietly.
    """
    module = importlib.import_module(f"cockpit.cli.commands.{arguments.command}")
    try:
        code = cast(int, getattr(module, _HANDLERS[arguments.command])(arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code
