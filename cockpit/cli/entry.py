"""Entry point of the installed command `training-cockpit`."""

from __future__ import annotations

import sys

from cockpit.terminal.shell_job import begin_job, wants_job
from cockpit.terminal.standard_streams import open_closed_streams
from engine.runtime.host.start_signals import end_on_signals


def main() -> int:
    """Run the program and return its exit code; what `main.py` does before its slow imports is done here."""
    end_on_signals()
    open_closed_streams()
    if wants_job(sys.argv[1:]):
        begin_job()
    from main import main as run  # noqa: PLC0415

    return run()
