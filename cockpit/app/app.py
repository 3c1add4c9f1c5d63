"""The Textual app: opens the main screen on a session, runs its timer, and receives keys, messages and signals."""

from __future__ import annotations

import gc
import logging
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from textual.filter import ANSIToTruecolor, LineFilter
from textual.message import Message
from textual.screen import Screen

from cockpit.app.screen_app import ScreenApp
from cockpit.app.shutdown import NOT_HERE, Shutdown
from cockpit.preferences.key_binding import bindings_of
from cockpit.preferences.settings import Settings
from cockpit.preferences.themes import IN_TURN, next_theme
from cockpit.ui.screens.splash import SplashScreen

if TYPE_CHECKING:
    from cockpit.app.controllers.controller import SessionController
    from cockpit.app.training_handle import TrainingHandle
    from cockpit.session.session import Session
    from cockpit.terminal.terminal import Terminal
    from cockpit.ui.dialogs.dispatcher import Severity
    from cockpit.ui.panels.toolkit.panel import Ask, JumpTo, Panel, Steer
    from cockpit.ui.panels.toolkit.panel_faults import PanelFailed

_LOG: Final = logging.getLogger(__name__)

_OPENED_AFTER: Final = 2.0
"""Seconds without garbage collection: what is allocated while opening stays alive."""

_HOPELESS: Final = 8
"""Faults after which the screen gives up: the training does not need it."""


class Signalled(Message):
    """The process received a signal."""


class CockpitApp(ScreenApp, inherit_bindings=False):
    """The screen on `session`; given a run's directory, it opens the session after the first frame.

    `training` runs in this process and is started with the session; `terminal` is the one to draw on. `cannot_detach`
    is the reason why the training ends with the screen, empty if it can go on. The training may go on after the screen
    gave up. The charts have the curves of the run in the directory `baseline` below their own.
    """

    def __init__(
        self,
        session: Session | Path,
        *,
        settings: Settings,
        training: TrainingHandle | None = None,
        terminal: Terminal | None = None,
        baseline: Path | None = None,
        cannot_detach: str = NOT_HERE,
    ) -> None:
        super().__init__(settings, terminal)
        self.settings = settings
        self._source = session
        self.baseline = baseline
        self.shutdown = Shutdown(training, self.exit, cannot_detach)
        self._terminal = terminal
        self._controller: SessionController | None = None
        self._num_faults = 0
        self._opened_by = 0.0
        self._own_filters: list[LineFilter] = []
        if settings.marker == "ascii":
            from cockpit.terminal.ascii_filter import AsciiFilter  # noqa: PLC0415 - few need it

            self._own_filters.append(AsciiFilter())
        if settings.reduced_motion:
            self.animation_level = "none"
        for key in (key for key in settings.keys if key.keys):
            self.bind(bindings_of(key), f"dispatch('{key.action}')", description=key.label, show=False)
        self.bind("ctrl+c", "dispatch('interrupt')", show=False)
        self.bind("ctrl+z", "suspend_process", show=False)

    # --- opening ------------------------------------------------------------------------

    def get_default_screen(self) -> Screen[None]:
        """Return the first screen: the main screen if there is a session, otherwise one that loads quickly."""
        if isinstance(self._source, Path):
            return SplashScreen(self._source.name)
        return self._furnish(self._source).screen

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Return Textual's filters except the one for the terminal's sixteen colours, which nothing here uses."""
        theirs = [
            line_filter for line_filter in super().get_line_filters() if not isinstance(line_filter, ANSIToTruecolor)
        ]
        return [*theirs, *self._own_filters]

    def on_mount(self) -> None:
        """Schedule what takes longer for after the first frame."""
        gc.disable()
        self.set_timer(_OPENED_AFTER, gc.enable)
        self._opened_by = time.monotonic() + _OPENED_AFTER
        self.call_after_refresh(self._open)

    def on_unmount(self) -> None:
        """Close the session, and switch garbage collection on again, also if the screen was closed early."""
        gc.enable()
        if self._controller is not None:
            self._controller.session.close()

    def _open(self) -> None:
        if self._controller is None:
            self.push_screen(self._furnish(self._source).screen)
        if self._controller is not None:
            self.shutdown.begin(self._controller)
        self.set_interval(1 / self.settings.poll_rate, self._tick, name="poll")
        self.shutdown.answer()
        self._poll()  # so that the main screen's first picture has charts in it

    def _furnish(self, source: Session | Path) -> SessionController:
        # Importing numpy takes longer than the whole first frame.
        from cockpit.app.controllers.controller import SessionController  # noqa: PLC0415
        from cockpit.session.session import Session  # noqa: PLC0415

        awaits_start = self.shutdown.awaits_start
        session = Session(source, awaits_start=awaits_start) if isinstance(source, Path) else source
        self._controller = SessionController(
            session, self.settings, opener=self, dispatch=self.action_dispatch, baseline=self.baseline
        )
        return self._controller

    def export_screenshot(self, *, title: str | None = None, simplify: bool = False) -> str:
        """Return the screen as an SVG, rendered without terminal codes."""
        return self.svg_without_codes(title or self.title, simplify=simplify)

    # --- update ---------------------------------------------------------------------------

    def _tick(self) -> None:
        """Poll now, or as soon as the budget allows: waiting for the next tick would make the screen older."""
        self.shutdown.answer()
        if self._controller is not None and self._controller.screen.is_opening and time.monotonic() < self._opened_by:
            return  # the first picture is being made of what was read
        self._poll()
        if (
            self._controller is not None
            and 0 < (wait := self._controller.screen.pace.due_in()) < 1 / self.settings.poll_rate
        ):
            self.set_timer(wait, self._poll)

    def _poll(self) -> None:
        if self._terminal is not None and self._terminal.is_gone():
            os.kill(os.getpid(), signal.SIGHUP)
            self._terminal = None
            return
        if self._terminal is not None:
            self._terminal.keep_log()
        if self._controller is None or not self.screen_stack:  # the screen is closing
            return
        update = self._controller.poll()
        escape = self._controller.escape_of(update)
        if escape and self.driver is not None:
            self.driver.write(escape)
        self.shutdown.watch()

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: Severity = "information",
        timeout: float | None = None,
        markup: bool = True,
    ) -> None:
        """Show a message in the main screen's answer strip, not as a toast over the panels; never markup."""
        if self._controller is not None and self._controller.screen.is_mounted:
            said = f"{title}: {message}" if title else message
            self._controller.screen.answers.say(said, severity, seconds=timeout)

    # --- actions ------------------------------------------------------------------------

    def action_dispatch(self, action: str, argument: str = "") -> None:
        """Execute the action of a key, a link, the palette or a panel."""
        match action:
            case "quit":
                self.shutdown.ask()
            case "detach":
                self.shutdown.detach()
            case "interrupt":
                self.shutdown.interrupt()
            case "theme":
                self.theme = next_theme(self.theme)
                self.notify(f"theme {self.theme}, {IN_TURN.index(self.theme) + 1} of {len(IN_TURN)}", markup=False)
            case _ if self._controller is None:
                pass
            case _ if self._controller.steering.handles(action):
                self._controller.steering.dispatch(action, argument)
            case _:
                self._controller.dispatch(action)

    def on_steer(self, message: Steer) -> None:
        """Send the command that a panel asks for."""
        if self._controller is not None:
            self._controller.steering.steer(message.command)

    def on_ask(self, message: Ask) -> None:
        """Execute the action that a panel asks for."""
        self.action_dispatch(message.action, message.argument)

    def on_jump_to(self, message: JumpTo) -> None:
        """Show the step that a panel names in the charts."""
        if self._controller is not None:
            self._controller.screen.show_tab("charts")
            self._controller.screen.charts.jump(message.step)

    # --- the end ------------------------------------------------------------------------

    def signalled(self, number: int) -> None:
        """Remember a signal. Its handler may call this at any moment; a signal before the screen is handled later."""
        self.shutdown.hear(number)
        self.call_from_handler(self.post_message, Signalled())

    def on_signalled(self) -> None:
        """Handle the signals in the order of the screen's own messages."""
        self.shutdown.answer()

    # --- faults -------------------------------------------------------------------------

    def on_panel_failed(self, message: PanelFailed) -> None:
        """Note the fault of a panel that could not take an update."""
        self._fault(message.error, message.panel)

    def on_fault(self, error: Exception) -> None:
        """Log the exception, show it, and continue without the part that failed."""
        self._fault(error)

    def _fault(self, error: Exception, panel: Panel | None = None) -> None:
        self.record_fault(error)
        self._num_faults += 1
        _LOG.error("a fault in the screen: %s", error, exc_info=error)
        if self._controller is None or self._num_faults > _HOPELESS:
            self.gave_up = True
            self.exit()
        elif self.screen_stack:  # otherwise the screen is closing and cannot show it
            self._controller.note_fault(error, panel)
