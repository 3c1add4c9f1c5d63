"""Draw histograms of a layer as text: bars over an axis, and the numbers below them.

Gradients are drawn by the logarithm of their size, without zeros: nearly all are close to zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import zip_longest
from typing import Final

from cockpit.text.format import escape_control, number
from engine.outputs.inspection.layer_histograms import Histogram, LayerHistograms

_EIGHTHS: Final = " ▁▂▃▄▅▆▇█"
_COARSE: Final = "    ####"
"""The same without Unicode: half a cell or more is drawn."""
_WIDTHS: Final = (64, 32, 16)
"""Numbers of bars: each holds as many of the 64 parts as every other."""
_GAP: Final = 2
MIN_WIDTH: Final = 3 * _WIDTHS[-1] + 2 * _GAP
"""Columns for the three kinds next to each other."""


def heading(taken: LayerHistograms) -> str:
    """Return the layer and the step."""
    return f"{escape_control(taken.layer)} at step {taken.step}"


def drawn(taken: LayerHistograms, width: int, height: int, *, ascii_only: bool = False) -> list[str]:
    """Return the kinds next to each other in `width` columns, or below each other; bars of `height` lines."""
    in_a_row = width >= MIN_WIDTH
    room = (width - 2 * _GAP) // 3 if in_a_row else width
    blocks = [
        _block(kind, found, taken.missing.get(kind, "not measured"), room, height, ascii_only=ascii_only)
        for kind, found in taken.kinds()
    ]
    if not in_a_row:
        return [line for block in blocks for line in (*block, "")][:-1]
    gap = " " * _GAP
    return [gap.join(f"{part:<{room}}" for part in row).rstrip() for row in zip_longest(*blocks, fillvalue="")]


def _block(kind: str, found: Histogram | None, reason: str, width: int, height: int, *, ascii_only: bool) -> list[str]:
    if found is None:
        return [kind, *_wrapped(escape_control(reason), width)]
    by_size = kind == "gradients"
    bins = found.magnitudes if by_size else found.bins
    count = next((count for count in _WIDTHS if count <= width), _WIDTHS[-1])
    bars = [sum(bins[at * len(bins) // count : (at + 1) * len(bins) // count]) for at in range(count)]
    ends = [10.0**found.low_exponent, 10.0**found.high_exponent] if by_size else [found.low, found.high]
    low, high = (number(end, 2) for end in ends)
    spare = max(count - len(low) - len(high), 1)
    lost = found.nans + found.infinities
    return [
        f"{kind} {found.count}{' (log)' if by_size else ''}"[:width],
        *_bars(bars, height, ascii_only=ascii_only),
        f"{low}{' ' * spare}{high}",
        f"highest bar {max(bars)}"[:width],
        f"mean {number(found.mean, 3)}",
        f"std {number(found.std, 3)}",
        *([f"{number(found.low, 2)} to {number(found.high, 2)}"[:width]] if by_size else []),
        f"zeros {_share(found.zeros, found.count)}",
        f"not finite {lost}" if not lost else f"! NaN {found.nans}, Inf {found.infinities}"[:width],
    ]


def _bars(counts: Sequence[int], height: int, *, ascii_only: bool) -> list[str]:
    """Return lines of bars, the highest over the whole height; a count above 0 is visible."""
    peak = max(counts) or 1
    eighths = [max(round(8 * height * count / peak), 1) if count else 0 for count in counts]
    signs = _COARSE + "#" if ascii_only else _EIGHTHS
    least = 4 if ascii_only else 1
    levels = [max(level, least) if level else 0 for level in eighths]
    return ["".join(signs[min(max(level - 8 * row, 0), 8)] for level in levels) for row in reversed(range(height))]


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.3g} %" if whole and not math.isclose(part, 0) else "0"


def _wrapped(text: str, width: int) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
