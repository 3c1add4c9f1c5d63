"""Entry point of the installed command `training-cockpit`."""

from __future__ import annotations

from cockpit.terminal.standard_streams import open_closed_streams
from engine.host.start_signals import end_on_signals


def main() -> int:
    """Run the program and return its exit code; signals and closed streams are handled before the other imports."""
    end_on_signals()
    open_closed_streams()
    from main import main as run  # noqa: PLC0415

    return run()
