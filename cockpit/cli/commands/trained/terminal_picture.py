"""Draw an image file in the terminal, two pixels per cell."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image
from rich.console import Console
from rich.segment import Segment, Segments

from cockpit.text.format import escape_control
from cockpit.ui.panels.preview.half_blocks import half_blocks

MOST_COLUMNS: Final = 100
_MARGIN: Final = 4
"""Lines of the terminal that a picture leaves free."""


def draw_picture(file: Path, title: str) -> None:
    """Print the picture under its title, as large as fits in the terminal. Do nothing without colours."""
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    if console.color_system is None:
        return
    columns, lines = shutil.get_terminal_size()
    with Image.open(file) as opened:
        width, height = cells(opened.size, columns, lines)
        small = opened.convert("RGB").resize((width, 2 * height), Image.Resampling.BILINEAR, reducing_gap=2.0)
    rows = half_blocks(np.asarray(small))
    console.print(escape_control(title), markup=False)
    console.print(Segments([segment for row in rows for segment in (*row, Segment.line())]), end="")
    sys.stdout.flush()


def cells(size: tuple[int, int], columns: int, lines: int) -> tuple[int, int]:
    """Return the columns and lines of a picture of `size` pixels; a cell is two pixels high."""
    width, height = size
    scale = min(min(columns, MOST_COLUMNS) / width, 2 * max(lines - _MARGIN, 4) / height)
    return max(round(width * scale), 1), max(round(height * scale / 2), 1)
