"""Private names of Textual that the cockpit uses, to be checked when Textual changes.

`PRIVATE_NAMES` lists them for the test that asserts that they exist. The rest of the cockpit uses the definitions and
exports of this module.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO
from weakref import WeakKeyDictionary, WeakSet

import textual
from textual._compositor import ChopsUpdate, Compositor
from textual._keyboard_protocol import FUNCTIONAL_KEYS
from textual._xterm_parser import BRACKETED_PASTE_END, BRACKETED_PASTE_START, FOCUSIN, FOCUSOUT, XTermParser
from textual.app import App
from textual.drivers.linux_driver import LinuxDriver
from textual.events import Event, Idle, Key, Paste
from textual.geometry import Region
from textual.message import Message
from textual.messages import Layout
from textual.screen import Screen
from textual.strip import Strip

if TYPE_CHECKING:
    from rich.console import RenderableType
    from textual.driver import Driver

__all__ = [
    "BRACKETED_PASTE_END",
    "BRACKETED_PASTE_START",
    "FOCUSIN",
    "FOCUSOUT",
    "FUNCTIONAL_KEYS",
    "ChopsUpdate",
    "MeasuresAgain",
    "OpenApp",
    "OpenCompositor",
    "OpenDriver",
    "OpensQuickly",
    "XTermParser",
    "installed_version",
    "key_events",
    "set_compositor",
]

PRIVATE_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "textual.app:App": (
        *("_background_screens", "_capture_stderr", "_capture_stdout", "_css_update_count", "_dispatch_message"),
        *("_driver", "_exception", "_handle_exception"),
    ),
    "textual.screen:Screen": (
        *("_compositor", "_css_update_count", "_dirty_widgets", "_layout_required", "_on_idle", "_on_timer_update"),
        "_repaint_required",
    ),
    "textual.widget:Widget": ("_layout_updates",),
    "textual._compositor:Compositor": ("_dirty_regions", "_get_renders", "render_partial_update", "render_update"),
    "textual.driver:Driver": ("_app", "_loop"),
    "textual.drivers.linux_driver:LinuxDriver": (
        *("_auto_restart", "_file", "_get_terminal_size", "_key_thread", "_must_signal_resume", "_sigcont_application"),
        "_sigtstp_application",
    ),
    "textual._xterm_parser:XTermParser": ("_sequence_to_key_events", "parse_mouse_code"),
}
"""The attributes by class; names in a private module count as private."""


def installed_version() -> str:
    """Return the version of the installed Textual; empty string if it is unknown.

    It is in the name of the metadata folder. `textual.__version__` imports an e-mail parser, which takes longer than
    many a module of the first frame.
    """
    folders = [*Path(textual.__file__).parents[1].glob("textual-*.dist-info")]
    return folders[0].name.removeprefix("textual-").removesuffix(".dist-info") if len(folders) == 1 else ""


_TURNS: Final = 10
"""Turns of the event loop in which a widget handles a message, and a second one that follows from it."""


class MeasuresAgain:
    """Mixin for a screen: measure a widget again each time it asks for a layout.

    Textual keeps a size that it measured between two changes of a widget's content. The mixin comes before the screen's
    own base and has no base itself: Textual takes a widget's style from its first base alone.
    """

    def post_message(self, message: Message) -> bool:
        """Invalidate the measured size of a widget when it asks for a layout: later requests may replace this one."""
        if isinstance(message, Layout):
            message.widget._layout_updates += 1  # pyright: ignore[reportPrivateUsage]
        return super().post_message(message)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType]


class OpensQuickly:
    """Mixin for a screen: while `is_opening`, lay out and draw as soon as its widgets have handled their messages.

    Textual does so at the next of sixty ticks a second, and a screen that opens in several rounds waits for one tick in
    each. The mixin comes before the screen's own base, like `MeasuresAgain`.
    """

    is_opening = True
    _is_due = False

    def end_opening(self) -> None:
        """Update at Textual's own rate from now on."""
        self.is_opening = False

    def after_changes(self, callback: Callable[[], object]) -> None:
        """Call `callback` when the widgets have handled their messages and the layout that they ask for is done."""
        screen: Any = self
        _after_turns(lambda: screen.call_after_refresh(callback))

    async def _on_idle(self, event: Idle) -> None:
        screen: Any = self
        await super()._on_idle(event)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
        is_changed = screen._layout_required or screen._repaint_required or screen._dirty_widgets
        # What a screen under another one has to show would be due again and again, also if Textual calls it current.
        is_on_top = screen.app.screen is screen
        if self.is_opening and is_changed and is_on_top and not self._is_due:
            self._is_due = True
            _after_turns(self._update)

    def _update(self) -> None:
        self._is_due = False
        screen: Any = self
        screen.call_next(screen._on_timer_update)  # where an exception of a widget is handled


def _after_turns(callback: Callable[[], object], turns: int = _TURNS) -> None:
    loop = asyncio.get_running_loop()
    if turns:
        loop.call_soon(_after_turns, callback, turns - 1)
    else:
        callback()


class OpenCompositor(Compositor):
    """A compositor with public dirty regions and renders."""

    @property
    def dirty_regions(self) -> Iterable[Region]:
        """Return the regions that were refreshed since the last update."""
        return self._dirty_regions

    def _get_renders(self, crop: Region | None = None) -> Iterable[tuple[Region, Region, list[Strip]]]:
        return self.renders(crop)

    def renders(self, crop: Region | None) -> Iterable[tuple[Region, Region, list[Strip]]]:
        """Return the lines of the visible widgets within `crop`, front to back, each with its region and clip."""
        return super()._get_renders(crop)


def set_compositor(screen: Screen[Any], compositor: Compositor) -> None:
    """Set the compositor of a screen that is not shown yet."""
    screen._compositor = compositor  # pyright: ignore[reportPrivateUsage]


def key_events(parser: XTermParser, code: str, *, alt: bool) -> list[Key]:
    """Return the keys of a character or escape sequence. Raises ValueError or OverflowError for an unknown number."""
    return list(parser._sequence_to_key_events(code, alt=alt))  # pyright: ignore[reportPrivateUsage]


class OpenDriver(LinuxDriver):
    """A driver that can draw on another file than standard error; a subclass provides the size.

    Textual starts its two threads again at every SIGCONT, also while they run: after SIGSTOP, and after the kernel's
    SIGCONT for a closed terminal. Two threads would share the keys, and the forgotten one would keep the process alive.
    Here the running threads are ended first; a SIGCONT while they start has them started again after that.
    """

    _is_starting = False

    def start_application_mode(self) -> None:
        """Take the terminal, and start the threads."""
        self._is_starting = True
        try:
            super().start_application_mode()
        finally:
            self._is_starting = False

    def restart_application_mode(self) -> None:
        """Restore the terminal and take it again, unless it is restored already. For the app's event loop."""
        if self._app.is_running and self._key_thread is not None and self._key_thread.is_alive():
            self.suspend_application_mode()
            self._must_signal_resume = True
            self.start_application_mode()

    def _sigtstp_application(self, *_: object) -> None:
        """Restore the terminal and stop until a shell continues the process; without one, take the terminal again.

        Textual stops by SIGSTOP, which the kernel does not ignore if nothing could continue the process.
        """
        if self._auto_restart:
            self.suspend_application_mode()
            self._must_signal_resume = True
        before = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        signal.pthread_kill(threading.get_ident(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, before)
        if self._must_signal_resume:
            self._sigcont_application()

    def _sigcont_application(self, *_: object) -> None:
        if self._must_signal_resume and not self._is_starting:  # it was suspended, by SIGTSTP
            super()._sigcont_application()
        elif self._app.is_running and os.isatty(self.fileno):
            self._loop.call_soon_threadsafe(self.restart_application_mode)

    def draw_on(self, file: TextIO) -> None:
        """Write to `file`: the writer thread uses `write`, `flush` and `fileno`."""
        self._file = file

    def terminal_size(self) -> tuple[int, int]:
        """Return columns and lines."""
        return super()._get_terminal_size()

    def _get_terminal_size(self) -> tuple[int, int]:
        return self.terminal_size()


class OpenApp(App[None], inherit_bindings=False):
    """An app that passes exceptions to `on_fault` and continues, with a public driver and output."""

    _styled_for: str | None = None

    def __init__(self, driver_class: type[Driver] | None = None) -> None:
        super().__init__(driver_class=driver_class)
        self._held: list[Key | Paste] = []
        self._typed_on: WeakKeyDictionary[Key, Screen[Any]] = WeakKeyDictionary()
        self._settled: WeakSet[Screen[Any]] = WeakSet()

    async def on_event(self, event: Event) -> None:
        """Handle an event; keys and pasted text for a screen that opens wait until its widget has the focus.

        Textual gives them to the screen itself, where they are lost.
        """
        if not isinstance(event, Key | Paste) or event.is_forwarded:
            await super().on_event(event)
        elif self._held or self._is_opening():
            self._held.append(event)
            if len(self._held) == 1:  # its messages are handled in order: those that open it came before
                self.screen.call_later(self.call_later, self._give_held)
        else:
            if isinstance(event, Key):
                self._typed_on[event] = self.screen
            await super().on_event(event)

    async def _on_key(self, event: Key) -> None:
        """Give a key that no widget took to the screen on top, if that opened after the key was typed."""
        if self._typed_on.get(event, self.screen) is not self.screen:
            event.prevent_default()
            await self.on_event(Key(event.key, event.character))

    def _is_opening(self) -> bool:
        screen = self.screen
        return bool(screen.AUTO_FOCUS) and screen.focused is None and screen not in self._settled

    async def _give_held(self) -> None:
        self._settled.add(self.screen)
        held, self._held = self._held, []
        for event in held:
            await self.on_event(event)

    def on_fault(self, error: Exception) -> None:
        """Handle an exception of a message handler or callback; ends the app unless a subclass overrides it."""
        super()._handle_exception(error)

    def record_fault(self, error: Exception) -> None:
        """Keep the first exception, so that tests on this app fail as usual."""
        self._exception = self._exception or error

    def style_for_theme(self) -> None:
        """Style for the theme that the app begins with.

        Textual styles for its own theme, and for this one in a second pass after the first layout, which is left out.
        """
        self.stylesheet.set_variables(self.get_css_variables())
        self._styled_for = self.theme

    def refresh_css(self, animate: bool = True) -> None:
        """Parse the style sheet again and style every widget, unless that was done for the first theme."""
        begins, self._styled_for = self._styled_for == self.theme, None
        if begins:
            for screen in self.screen_stack:
                screen._css_update_count = self._css_update_count  # pyright: ignore[reportPrivateUsage]
        else:
            super().refresh_css(animate)

    def send_prints_to(self, stream: TextIO) -> None:
        """Send prints during the app to `stream`; Textual discards them."""
        self._capture_stdout = self._capture_stderr = stream  # type: ignore[assignment]

    @property
    def driver(self) -> Driver | None:
        """Return the driver, which owns the terminal while the app runs; `None` before it starts."""
        return self._driver

    def whole_picture(self, *, simplify: bool = False) -> RenderableType | None:
        """Return the whole screen with the screens behind it."""
        compositor = self.screen._compositor  # pyright: ignore[reportPrivateUsage]
        return compositor.render_update(full=True, screen_stack=self._background_screens, simplify=simplify)

    def _handle_exception(self, error: Exception) -> None:
        self.on_fault(error)

    async def _dispatch_message(self, message: Message) -> None:
        try:
            await super()._dispatch_message(message)
        except Exception as error:
            self.on_fault(error)
