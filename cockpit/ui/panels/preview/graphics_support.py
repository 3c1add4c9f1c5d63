"""Real pixels in terminals with kitty's or sixel graphics, by textual-image, without queries to the terminal.

textual-image queries the terminal when it is imported, and writes kitty's pictures to standard output. While a screen
runs, the replies would arrive as keys, and standard output is the log. Therefore the environment identifies the
terminal, and output goes through Textual's driver.
"""

from __future__ import annotations

import fcntl
import io
import re
import struct
import sys
import termios
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any, Final, Literal

from rich.control import Control
from rich.segment import ControlType, Segment
from rich.style import Style
from textual.widget import Widget

Protocol = Literal["kitty", "sixel", ""]

INSTALL_IMAGES: Final = "pip install 'training-cockpit[images]'"

_MULTIPLEXERS: Final = ("TMUX", "STY", "ZELLIJ")
"""Terminal multiplexers, which pass on neither protocol."""
_KITTY_TERMS: Final = ("xterm-kitty", "xterm-ghostty")
_KITTY_PROGRAMS: Final = ("ghostty",)
_SIXEL_TERMS: Final = ("foot", "mlterm", "contour", "yaft")
_SIXEL_PROGRAMS: Final = ("wezterm", "iterm.app", "mintty", "rio")
_USUAL_CELL: Final = (10, 20)
_NO_STYLE: Final = Style()
_DELETION: Final = re.compile(r"\x1b_Ga=d,I=(\d+)\x1b\\")


def protocol_of(environment: Mapping[str, str]) -> Protocol:
    """Return the graphics protocol of the terminal with that environment; empty string if unknown."""
    if any(environment.get(name) for name in _MULTIPLEXERS):
        return ""
    term, program = environment.get("TERM", "").lower(), environment.get("TERM_PROGRAM", "").lower()
    if environment.get("KITTY_WINDOW_ID") or term in _KITTY_TERMS or program in _KITTY_PROGRAMS:
        return "kitty"
    if program in _SIXEL_PROGRAMS or term.partition("-")[0] in _SIXEL_TERMS:
        return "sixel"
    return ""


def has_image_widgets() -> bool:
    """Return whether textual-image is installed; it is not imported."""
    return find_spec("textual_image") is not None


def cell_size(descriptor: int) -> tuple[int, int]:
    """Return width and height of a cell in pixels from the kernel; a usual size if it is unknown."""
    try:
        packed = fcntl.ioctl(descriptor, termios.TIOCGWINSZ, b"\0" * 8)
    except OSError:
        return _USUAL_CELL
    lines, columns, width, height = struct.unpack("HHHH", packed)
    if not (lines and columns and width and height):
        return _USUAL_CELL
    return max(width // columns, 1), max(height // lines, 1)


def image_widget(protocol: Protocol, cell: tuple[int, int], write: Callable[[str], None]) -> type[Widget]:
    """Return the widget class whose `image` is a PIL image; `write` sends text to the terminal.

    Raises ImportError if textual-image is missing.
    """

    def send(text: str) -> None:
        write(_with_deletion(text))

    terminal, asked = sys.__stdout__, io.StringIO()
    sys.__stdout__ = asked  # no terminal: the modules send no query while they are imported
    try:
        from textual_image import _terminal  # noqa: PLC0415  # on purpose, see above
        from textual_image.renderable import tgp  # noqa: PLC0415
        from textual_image.widget import SixelImage, TGPImage, sixel  # noqa: PLC0415
    finally:
        sys.__stdout__ = terminal
    sized: Any = _terminal.get_cell_size  # the function caches its result in an attribute
    sized._result = _terminal.CellSize(*cell)
    driver: Any = tgp  # the module writes to its `sys.__stdout__`
    driver.sys = SimpleNamespace(__stdout__=SimpleNamespace(write=send, flush=lambda: None))
    inner: Any = sixel
    inner._ImageSixelImpl._get_sixel_segments = _sixel_segments
    return TGPImage if protocol == "kitty" else SixelImage


def _sixel_segments(drawn: Widget, sixels: str) -> list[Segment]:
    """Return a picture at its place, and the cursor at the end of its last line, whose rest is written next.

    textual-image's own goes to the line below: the rest was written there, and old text stayed next to the picture.
    """
    seen = drawn.screen.find_widget(drawn).visible_region
    begin, end = Control.move_to(seen.x, seen.y), Control.move_to(seen.right, seen.bottom - 1)
    picture = Segment(sixels, _NO_STYLE, ((ControlType.CURSOR_FORWARD, 0),))
    return [Segment(begin.segment.text, _NO_STYLE), picture, Segment(end.segment.text, _NO_STYLE)]


def _with_deletion(text: str) -> str:
    """Return a message with textual-image's deletion, which addresses no picture, as the one of the picture."""
    return _DELETION.sub("\x1b_Ga=d,d=I,i=\\1,q=2\x1b\\\\", text)
