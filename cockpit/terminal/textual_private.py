"""Every private name of Textual that the cockpit uses: the place to look at when Textual changes.

`PRIVATE_NAMES` lists them for the test that asserts that they exist. The rest of the cockpit uses what is defined or
exported here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import textual
from textual._compositor import ChopsUpdate, Compositor
from textual._keyboard_protocol import FUNCTIONAL_KEYS
from textual._xterm_parser import BRACKETED_PASTE_END, BRACKETED_PASTE_START, FOCUSIN, FOCUSOUT, XTermParser
from textual.app import App
from textual.drivers.linux_driver import LinuxDriver
from textual.events import Key
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
    "XTermParser",
    "installed_version",
    "key_events",
    "set_compositor",
]

PRIVATE_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "textual.app:App": (
        *("_background_screens", "_capture_stderr", "_capture_stdout", "_dispatch_message", "_driver", "_exception"),
        "_handle_exception",
    ),
    "textual.screen:Screen": ("_compositor",),
    "textual.widget:Widget": ("_layout_updates",),
    "textual._compositor:Compositor": ("_dirty_regions", "_get_renders", "render_partial_update", "render_update"),
    "textual.driver:Driver": ("_app", "_loop"),
    "textual.drivers.linux_driver:LinuxDriver": (
        *("_file", "_get_terminal_size", "_key_thread", "_must_signal_resume", "_sigcont_application"),
    ),
    "textual._xterm_parser:XTermParser": ("_sequence_to_key_events", "parse_mouse_code"),
}
"""The attributes by class; names of a private module count as private."""


def installed_version() -> str:
    """Return the version of the installed Textual, '' if it is unknown.

    The name of its metadata folder says it. `textual.__version__` imports an e-mail parser, which would take longer
    than many a module of the first frame.
    """
    folders = [*Path(textual.__file__).parents[1].glob("textual-*.dist-info")]
    return folders[0].name.removeprefix("textual-").removesuffix(".dist-info") if len(folders) == 1 else ""


class MeasuresAgain:
    """Mixin for a screen: measure a widget again each time it asks for a layout.

    Textual keeps a size that it measured between two changes of a widget's content. The mixin comes before the screen's
    own base and has no base itself: Textual takes a widget's style from its first base alone.
    """

    def on_layout(self, message: Layout) -> None:
        """Invalidate the size that was measured of the widget."""
        message.widget._layout_updates += 1  # pyright: ignore[reportPrivateUsage]


class OpenCompositor(Compositor):
    """A compositor whose regions to redraw and whose renders are public."""

    @property
    def dirty_regions(self) -> Iterable[Region]:
        """The regions that were refreshed since the last update."""
        return self._dirty_regions

    def _get_renders(self, crop: Region | None = None) -> Iterable[tuple[Region, Region, list[Strip]]]:
        return self.renders(crop)

    def renders(self, crop: Region | None) -> Iterable[tuple[Region, Region, list[Strip]]]:
        """Return the lines of the visible widgets within `crop`, front to back, each with its region and clip."""
        return super()._get_renders(crop)


def set_compositor(screen: Screen[Any], compositor: Compositor) -> None:
    """Let a screen that is not shown yet be put together by `compositor`."""
    screen._compositor = compositor  # pyright: ignore[reportPrivateUsage]


def key_events(parser: XTermParser, code: str, *, alt: bool) -> list[Key]:
    """Return the keys of a character or an escape sequence; raises ValueError or OverflowError for numbers of none."""
    return list(parser._sequence_to_key_events(code, alt=alt))  # pyright: ignore[reportPrivateUsage]


class OpenDriver(LinuxDriver):
    """A driver that may draw on another file than standard error, whose size is then asked of a subclass.

    Textual starts its two threads anew at every SIGCONT, also where they run: after SIGSTOP, and where the terminal was
    closed, as the kernel then sends SIGCONT after SIGHUP. Two threads would share the keys between them, and the one
    that is forgotten keeps the process alive after its end. Here those that run are ended first.
    """

    def restart_application_mode(self) -> None:
        """Give the terminal back and take it again, unless it was given back already. For the app's event loop."""
        if self._app.is_running and self._key_thread is not None and self._key_thread.is_alive():
            self.suspend_application_mode()
            self._must_signal_resume = True
            self.start_application_mode()

    def _sigcont_application(self, *_: object) -> None:
        if self._must_signal_resume:  # it was suspended, by SIGTSTP
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
    """An app that reports exceptions to `on_fault` and goes on, and whose driver and prints are public."""

    def on_fault(self, error: Exception) -> None:
        """Handle an exception of a message handler or a callback; ends the app unless a subclass does otherwise."""
        super()._handle_exception(error)

    def record_fault(self, error: Exception) -> None:
        """Keep the first exception: a test on this app fails by it, as on any other."""
        self._exception = self._exception or error

    def send_prints_to(self, stream: TextIO) -> None:
        """Send what is printed while the app runs to `stream`; Textual discards it."""
        self._capture_stdout = self._capture_stderr = stream  # type: ignore[assignment]

    @property
    def driver(self) -> Driver | None:
        """The driver, the only way to the terminal while the app runs; None before it starts."""
        return self._driver

    def whole_picture(self, *, simplify: bool = False) -> RenderableType | None:
        """Return all that is on the screen, with the screens behind it."""
        compositor = self.screen._compositor  # pyright: ignore[reportPrivateUsage]
        return compositor.render_update(full=True, screen_stack=self._background_screens, simplify=simplify)

    def _handle_exception(self, error: Exception) -> None:
        self.on_fault(error)

    async def _dispatch_message(self, message: Message) -> None:
        try:
            await super()._dispatch_message(message)
        except Exception as error:
            self.on_fault(error)
