"""`main.py runs` on a terminal: open the list of all runs."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from cockpit.terminal.terminal import Terminal, why_no_screen
from engine.runtime.host.imports import imports_only


def wants_screen(arguments: Namespace) -> bool:
    """Return whether `runs` opens its screen: on a terminal, for a directory that exists, without another wish."""
    is_plain = arguments.plain or arguments.json or arguments.action
    return not is_plain and not why_no_screen() and bool(arguments.runs_dir.is_dir())


def list_on_screen(arguments: Namespace) -> int:
    """Open the list of all runs. It is read by a thread while the screen is imported."""
    with imports_only():
        from cockpit.preferences.settings import attach_log, cache_folder, load_settings, settings_file  # noqa: PLC0415
        from cockpit.session.run_list.catalogue import RunCatalogue  # noqa: PLC0415
        from cockpit.session.run_list.index_file import index_file  # noqa: PLC0415
        from cockpit.session.run_list.watcher import RunWatcher  # noqa: PLC0415

        settings = load_settings(settings_file())
        runs_dir: Path = arguments.runs_dir
        watcher = RunWatcher(RunCatalogue(runs_dir, index_file(cache_folder(), runs_dir)))
        watcher.start()

        from cockpit.app.runner import run_attached  # noqa: PLC0415
        from cockpit.app.runs_app import RunsApp  # noqa: PLC0415

    def open_app(terminal: Terminal) -> RunsApp:
        return RunsApp(runs_dir, watcher, settings=settings, terminal=terminal)

    try:
        return run_attached(open_app, attach_log())
    finally:
        watcher.close()
