"""Save a picture of the main screen."""

from __future__ import annotations

import os
from pathlib import Path

from cockpit.session.session import Session
from cockpit.text.format import escape_control
from cockpit.ui.screens.main_screen import MainScreen


def save_screenshot(screen: MainScreen, session: Session) -> None:
    """Write the picture next to the journal, or into the present directory if that is not ours to write; say where."""
    state = session.state
    name = f"screen-{state.step if state else 0:08d}-{screen.tab}.svg"
    may_write = session.can_steer and os.access(session.run_dir, os.W_OK)
    try:
        path = screen.app.save_screenshot(name, str(session.run_dir if may_write else Path.cwd()))
    except OSError as error:
        screen.notify(f"{error.strerror}", title="✗ no screenshot", severity="error", markup=False)
    else:
        screen.notify(escape_control(path), title="✓ screenshot", markup=False)
