"""`main.py compare` on a terminal: the screen that compares runs; elsewhere the text of the command line."""

from __future__ import annotations

import argparse

from cockpit.cli.dispatch import run_subcommand
from cockpit.terminal.terminal import why_no_screen


def run_comparison(arguments: argparse.Namespace) -> int:
    """Compare runs on a screen, or as text without a terminal. Raises UserError for a run that cannot be compared."""
    if arguments.json or why_no_screen():
        return run_subcommand(arguments)
    # Text needs no Textual.
    from cockpit.app.compare_app import CompareApp  # noqa: PLC0415
    from cockpit.app.runner import run_attached  # noqa: PLC0415
    from cockpit.cli.commands.comparing.compare import compared_directories  # noqa: PLC0415
    from cockpit.preferences.settings import attach_log, load_settings, settings_file  # noqa: PLC0415
    from cockpit.ui.panels.comparing.screen import CompareScreen  # noqa: PLC0415

    settings = load_settings(settings_file())
    screen = CompareScreen(compared_directories(arguments), settings, metrics=arguments.keys, kind=arguments.x)
    return run_attached(lambda terminal: CompareApp(screen, settings, terminal), attach_log())
