"""`main.py attach RUN`: open the screen on a run of any process, in a terminal or in a browser."""

from __future__ import annotations

from argparse import Namespace

from cockpit.cli.commands.comparing.baseline import baseline_of
from cockpit.terminal.lean_imports import lean_imports
from cockpit.terminal.terminal import Terminal, is_in_browser, why_no_screen
from engine.errors import UserError
from engine.journal.disk.find_run import find_run
from engine.journal.disk.run_dir import has_journal
from engine.protocol.words.command_syntax import program_name
from engine.runtime.host.imports import imports_only


def attach(arguments: Namespace) -> int:
    """Open the screen on a run of any process, without torch. Raises UserError if there is none, or no terminal."""
    directory = find_run(arguments.runs_dir, arguments.run)
    baseline = baseline_of(arguments.runs_dir, arguments.baseline)
    is_served = is_in_browser()
    if not is_served and (reason := why_no_screen()):
        instead = f"{program_name()} events {directory.name} --follow"
        raise UserError(f"{reason}: without a screen `{instead}` follows a run")
    if not has_journal(directory):
        raise UserError(
            f"the journal of {directory.name!r} is gone: --resume {directory.name} continues from its checkpoints"
        )
    with imports_only(), lean_imports():
        from cockpit.app.attached_app import AttachedApp  # noqa: PLC0415
        from cockpit.app.runner import run_attached, run_served  # noqa: PLC0415
        from cockpit.preferences.settings import attach_log, load_settings, settings_file  # noqa: PLC0415

    settings, can_steer = load_settings(settings_file()), not arguments.read_only

    def open_app(terminal: Terminal | None) -> AttachedApp:
        return AttachedApp(directory, settings=settings, terminal=terminal, can_steer=can_steer, baseline=baseline)

    return (run_served if is_served else run_attached)(open_app, attach_log())
