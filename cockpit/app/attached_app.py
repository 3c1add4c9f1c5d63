"""The app on a run of another process: it can be left at any time, and another run is one key away."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from textual.screen import Screen

from cockpit.app.app import CockpitApp
from cockpit.preferences.keymap import attached_keys
from cockpit.preferences.settings import Settings
from cockpit.terminal.lean_imports import lean_imports
from cockpit.text.format import escape_control
from cockpit.ui.screens.splash import SplashScreen
from engine.errors import UserError
from engine.journal.disk.find_run import list_runs
from engine.journal.disk.run_dir import has_journal

if TYPE_CHECKING:
    from cockpit.app.controllers.controller import SessionController
    from cockpit.session.session import Session
    from cockpit.terminal.terminal import Terminal

_BY: dict[str, int] = {"previous_run": -1, "next_run": 1}


def _actor() -> str:
    """Return the name that tells this screen from others on one run: by its terminal, or else by its process."""
    try:
        terminal = os.ttyname(0)
    except OSError:
        return f"cockpit@{os.getpid()}"
    return f"cockpit@{terminal.removeprefix('/dev/')}"


class AttachedApp(CockpitApp):
    """The screen on the run in `run_dir`, which any process may write; without `can_steer` it sends no command."""

    def __init__(
        self,
        run_dir: Path,
        *,
        settings: Settings,
        terminal: Terminal | None = None,
        can_steer: bool = True,
        baseline: Path | None = None,
    ) -> None:
        settings = replace(settings, keys=attached_keys(settings.keys))
        super().__init__(run_dir, settings=settings, terminal=terminal, baseline=baseline)
        self._run_dir = run_dir
        self._can_steer = can_steer

    def get_default_screen(self) -> Screen[None]:
        """Return a screen that loads quickly; the main screen follows it."""
        return SplashScreen(self._run_dir.name, doing="reading the journal")

    def action_dispatch(self, action: str, argument: str = "") -> None:
        """Execute an action; those of this class go to another run."""
        if action in _BY:
            self.call_later(self._turn, _BY[action])
        else:
            super().action_dispatch(action, argument)

    def _furnish(self, source: Session | Path) -> SessionController:
        # Importing numpy takes longer than the whole first frame.
        with lean_imports():
            from cockpit.app.controllers.attached import AttachedController  # noqa: PLC0415
            from cockpit.session.session import Session  # noqa: PLC0415

        session = Session(source, can_steer=self._can_steer, actor=_actor()) if isinstance(source, Path) else source
        self._controller = AttachedController(
            session, self.settings, opener=self, dispatch=self.action_dispatch, baseline=self.baseline
        )
        return self._controller

    async def _turn(self, by: int) -> None:
        """Show the run `by` places further in the list of `runs`; after the last one comes the first."""
        if self._controller is None or self.screen is not self._controller.screen:
            return
        here = self._controller.session.run_dir
        try:
            runs = [path for path in list_runs(here.parent) if has_journal(path)]
        except UserError as error:
            self.notify(escape_control(str(error)), severity="warning", markup=False)
            return
        names = [path.name for path in runs]
        if not names or names == [here.name]:
            self.notify(
                f"there is no other run in {escape_control(str(here.parent))}", severity="warning", markup=False
            )
            return
        at = names.index(here.name) if here.name in names else min(-by, 0)
        to = (at + by) % len(names)
        await self._show(runs[to])
        self.notify(f"run {to + 1} of {len(names)}: {escape_control(names[to])}", markup=False)

    async def _show(self, run_dir: Path) -> None:
        """Replace the main screen with one on the run in `run_dir`."""
        former = self._controller
        controller = self._furnish(run_dir)
        await self.switch_screen(controller.screen)
        if former is not None:
            former.session.close()
        self.shutdown.begin(controller)
        self._poll()
