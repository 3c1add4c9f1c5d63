"""Real pixels where the terminal has kitty's or sixel graphics, through textual-image, without asking the terminal.

textual-image asks the terminal when it is imported and writes kitty's pictures to standard output. While a screen
runs, the answers would arrive as keys, and standard output is the log. So the terminal is known by its environment,
and what is written goes through Textual's own driver.
"""

from __future__ import annotations

import fcntl
import io
import struct
import sys
import termios
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any, Final, Literal

from textual.widget import Widget

Protocol = Literal["kitty", "sixel", ""]

INSTALL_IMAGES: Final = "pip install 'training-cockpit[images]'"

_MULTIPLEXERS: Final = ("TMUX", "STY", "ZELLIJ")
"""They pass on neither protocol as it is."""
_KITTY_TERMS: Final = ("xterm-kitty", "xterm-ghostty")
_KITTY_PROGRAMS: Final = ("ghostty",)
_SIXEL_TERMS: Final = ("foot", "mlterm", "contour", "yaft")
_SIXEL_PROGRAMS: Final = ("wezterm", "iterm.app", "mintty", "rio")
_USUAL_CELL: Final = (10, 20)


def protocol_of(environment: Mapping[str, str]) -> Protocol:
    """What the terminal with that environment draws pictures by; '' where it is not known to."""
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
    """Width and height of a cell in pixels, as the kernel knows it of the terminal; a usual one where it does not."""
    try:
        packed = fcntl.ioctl(descriptor, termios.TIOCGWINSZ, b"\0" * 8)
    except OSError:
        return _USUAL_CELL
    lines, columns, width, height = struct.unpack("HHHH", packed)
    if not (lines and columns and width and height):
        return _USUAL_CELL
    return max(width // columns, 1), max(height // lines, 1)


def image_widget(protocol: Protocol, cell: tuple[int, int], write: Callable[[str], None]) -> type[Widget]:
    """The class of widgets whose `image` is a PIL image; `write` sends text to the terminal. Raises ImportError."""
    terminal, asked = sys.__stdout__, io.StringIO()
    sys.__stdout__ = asked  # no terminal: nothing is asked while the modules are imported
    try:
        from textual_image import _terminal  # noqa: PLC0415  # on purpose, see above
        from textual_image.renderable import tgp  # noqa: PLC0415
        from textual_image.widget import SixelImage, TGPImage  # noqa: PLC0415
    finally:
        sys.__stdout__ = terminal
    sized: Any = _terminal.get_cell_size  # it keeps the size that it found on itself
    sized._result = _terminal.CellSize(*cell)
    driver: Any = tgp  # the module writes to its `sys.__stdout__`
    driver.sys = SimpleNamespace(__stdout__=SimpleNamespace(write=write, flush=lambda: None))
    return TGPImage if protocol == "kitty" else SixelImage
