"""The cockpit: polls a session, hands what is new to the screen, and turns keys into actions."""

from __future__ import annotations

import asyncio
import gc
import io
import logging
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from textual.filter import ANSIToTruecolor, LineFilter
from textual.message import Message
from textual.screen import Screen

from cockpit.app.answering import AnsweringApp
from cockpit.app.shutdown import Shutdown
from cockpit.preferences.keymap import bindings_of
from cockpit.preferences.settings import Settings
from cockpit.preferences.themes import IN_TURN, THEMES
from cockpit.screens.splash import SplashScreen
from engine.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from cockpit.app.controller import SessionController
    from cockpit.app.training_handle import TrainingHandle
    from cockpit.panels.toolkit.panel import Ask, JumpTo, Panel, Steer
    from cockpit.screens.panel_faults import PanelFailed
    from cockpit.session.session import Session
    from cockpit.terminal.terminal import Terminal

_LOG: Final = logging.getLogger(__name__)

_OPENED_AFTER: Final = 2.0
"""Seconds without collections of garbage: opening makes much that stays, and nothing to speak of that goes."""

_HOPELESS: Final = 8
"""Faults outside of any panel after which the screen gives up: the training does not need it."""


class Signalled(Message):
    """The process was sent a signal."""


class CockpitApp(AnsweringApp, inherit_bindings=False):
    """The screen on `session`; or, given a run's directory, on the session that is opened after the first frame.

    `training` is the one in this process, started with the session; `terminal` the one to draw on. `gave_up` says
    that the screen ended by its own fault: the training may go on.
    """

    TITLE = "Training Cockpit"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = False

    def __init__(
        self,
        session: Session | Path,
        *,
        settings: Settings,
        training: TrainingHandle | None = None,
        terminal: Terminal | None = None,
    ) -> None:
        driver = None
        if terminal is not None:
            # Only a screen on a real terminal needs it, and not every system has it.
            from cockpit.terminal.driver import driver_on  # noqa: PLC0415

            driver = driver_on(terminal)
        super().__init__(driver_class=driver)
        if terminal is not None:
            # Textual swallows prints; they belong in the log.
            self.send_prints_to(terminal.log_stream())
        self.settings = settings
        self.gave_up = False
        self._source = session
        self._departure = Shutdown(self, training)
        self._terminal = terminal
        self._cabin: SessionController | None = None
        self._num_faults = 0
        self._events: asyncio.AbstractEventLoop | None = None
        self._own_filters: list[LineFilter] = []
        if settings.marker == "ascii":
            from cockpit.terminal.ascii_filter import AsciiFilter  # noqa: PLC0415 - few need it

            self._own_filters.append(AsciiFilter())
        for theme in THEMES:
            self.register_theme(theme)
        if settings.theme not in self.available_themes:
            raise UserError(
                f"there is no theme {settings.theme!r}: {did_you_mean(settings.theme, self.available_themes)}"
            )
        self.theme = settings.theme
        if settings.reduced_motion:
            self.animation_level = "none"
        for key in settings.keys:
            if key.keys:
                self.bind(bindings_of(key), f"dispatch('{key.action}')", description=key.label, show=False)
        self.bind("ctrl+c", "dispatch('interrupt')", show=False)
        self.bind("ctrl+z", "suspend_process", show=False)

    # --- opening ------------------------------------------------------------------------

    def get_default_screen(self) -> Screen[None]:
        """The first frame: the main screen where a session is there, else one that needs next to nothing."""
        if isinstance(self._source, Path):
            return SplashScreen(self._source.name)
        return self._furnish(self._source).screen

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's filters, but for the one that looks for the terminal's sixteen colours: nothing here uses them."""
        theirs = [
            line_filter for line_filter in super().get_line_filters() if not isinstance(line_filter, ANSIToTruecolor)
        ]
        return [*theirs, *self._own_filters]

    def on_mount(self) -> None:
        """Once the first frame is drawn, everything that takes longer."""
        self._events = asyncio.get_running_loop()
        gc.disable()
        self.set_timer(_OPENED_AFTER, gc.enable)
        self.call_after_refresh(self._open)

    def on_unmount(self) -> None:
        """Whatever comes after the screen has its garbage collected, however short the screen lived."""
        gc.enable()

    def _open(self) -> None:
        if isinstance(self._source, Path):
            # numpy and what is built on it cost more than the whole first frame.
            from cockpit.session.session import Session  # noqa: PLC0415

            session = Session(self._source, awaits_start=self._departure.awaits_start)
            self.push_screen(self._furnish(session).screen)
        self._departure.begin()
        self.set_interval(1 / self.settings.poll_rate, self._tick, name="poll")
        self._departure.answer()
        self._poll()  # so that the main screen's first picture has charts in it

    def _furnish(self, session: Session) -> SessionController:
        from cockpit.app.controller import SessionController  # noqa: PLC0415 - as above

        self._cabin = self._departure.controller = SessionController(self, session, self.settings)
        return self._cabin

    def export_screenshot(self, *, title: str | None = None, simplify: bool = False) -> str:
        """Return the screen as an SVG, made without terminal codes.

        Textual writes it in true colour first. Rich keeps a style's codes, so all that is on the screen would be in
        true colour from then on, on a terminal of 256 colours too.
        """
        width, height = self.size
        console = Console(
            width=width, height=height, file=io.StringIO(), color_system=None, record=True, legacy_windows=False
        )
        console.print(self.whole_picture(simplify=simplify))
        return console.export_svg(title=title or self.title)

    # --- update ---------------------------------------------------------------------------

    def _tick(self) -> None:
        """Look now, or as soon as there is time: the tick after that would make what is on screen older."""
        self._departure.answer()
        self._poll()
        if self._cabin is not None and 0 < (wait := self._cabin.due_in()) < 1 / self.settings.poll_rate:
            self.set_timer(wait, self._poll)

    def _poll(self) -> None:
        if self._terminal is not None and self._terminal.is_gone():
            os.kill(os.getpid(), signal.SIGHUP)
            self._terminal = None
            return
        if self._terminal is not None:
            self._terminal.keep_log()
        if self._cabin is None or not self.screen_stack:  # on the way out
            return
        update = self._cabin.poll()
        escape = self._cabin.escape_of(update)
        if escape and self.driver is not None:
            self.driver.write(escape)
        self._departure.watch()

    # --- actions ------------------------------------------------------------------------

    def action_dispatch(self, action: str) -> None:
        """Do what the key of `action` stands for."""
        match action:
            case "quit":
                self._departure.ask()
            case "interrupt":
                self._departure.interrupt()
            case "theme":
                at = IN_TURN.index(self.theme) if self.theme in IN_TURN else -1
                self.theme = IN_TURN[(at + 1) % len(IN_TURN)]
                self.notify(f"theme {self.theme}, {(at + 1) % len(IN_TURN) + 1} of {len(IN_TURN)}", markup=False)
            case _ if self._cabin is not None:
                self._cabin.dispatch(action)
            case _:
                pass

    def on_steer(self, message: Steer) -> None:
        """A panel wants a command sent."""
        if self._cabin is not None:
            self._cabin.steering.steer(message.command)

    def on_ask(self, message: Ask) -> None:
        """A panel wants what a key does."""
        if self._cabin is not None and not self._cabin.dispatch(message.action, message.argument):
            self.action_dispatch(message.action)

    def on_jump_to(self, message: JumpTo) -> None:
        """A panel names a step: the charts show it."""
        if self._cabin is not None:
            self._cabin.screen.show_tab("charts")
            self._cabin.screen.charts.jump(message.step)

    # --- the end ------------------------------------------------------------------------

    def signalled(self, number: int) -> None:
        """The process was sent a signal; for its handler, at any moment: one that comes too early is answered later."""
        self._departure.hear(number)
        if self._events is not None and self.is_running:
            self._events.call_soon_threadsafe(self.post_message, Signalled())

    def on_signalled(self) -> None:
        """In the turn of the screen's own messages: what the signals ask for."""
        self._departure.answer()

    # --- faults -------------------------------------------------------------------------

    def on_panel_failed(self, message: PanelFailed) -> None:
        """A panel could not take update."""
        self._fault(message.error, message.panel)

    def on_fault(self, error: Exception) -> None:
        """Log the exception, show it, and go on without the part that failed."""
        self._fault(error)

    def _fault(self, error: Exception, panel: Panel | None = None) -> None:
        self.record_fault(error)
        self._num_faults += 1
        _LOG.error("a fault in the screen: %s", error, exc_info=error)
        if self._cabin is None or self._num_faults > _HOPELESS:
            self.gave_up = True
            self.exit()
        elif self.screen_stack:  # else on the way out: there is nothing left to say it on
            self._cabin.note_fault(error, panel)
