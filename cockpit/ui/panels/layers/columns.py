"""The lines of the layers' table: columns as the width allows, numbers, a sparkline and a mark in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from textual.content import Content
from textual.style import Style

from cockpit.charts.ticks import narrow
from cockpit.text.format import escape_control
from cockpit.ui.panels.layers.numbers import DEAD, MEASURES, LayerNumbers
from cockpit.ui.panels.layers.tree import Node
from cockpit.ui.panels.toolkit.line_parts import padded
from cockpit.ui.panels.toolkit.symbols import ACTIVE, BAD, FAINT, LABEL, STRONG, WARN, Symbols, sparkline
from engine.journal.task_meta import ACT_ZEROS, GRAD_NORM, GRAD_ZEROS, UPDATE_RATIO
from engine.protocol.record import record

_SHARES: Final = (GRAD_ZEROS, ACT_ZEROS)
_NUMBER_WIDTH, _SHARE_WIDTH = 8, 5
_MOST_NAME: Final = 64
_SHORT: Final = {"exploding": "expl"}


@record
class Columns:
    """The columns at one width: cells of the name, of the mark's word and of the sparkline, and the measures."""

    name: int
    mark: int
    measures: tuple[str, ...]
    spark: int

    @classmethod
    def of(cls, width: int) -> Columns:
        """Return the columns for a table of `width` cells."""
        measures = tuple(MEASURES)
        if width < 76:
            measures = (GRAD_NORM, UPDATE_RATIO, GRAD_ZEROS, ACT_ZEROS)
        mark, spark = (9, 32) if width >= 140 else (9, 16) if width >= 100 else (4, 8)
        rest = width - mark - 3 - (spark + 1) - sum(width_of(measure) + 1 for measure in measures)
        name = min(rest, _MOST_NAME)
        return cls(max(name, 8), mark, measures, spark)


def width_of(measure: str) -> int:
    """Return the cells of a measure's column."""
    return _SHARE_WIDTH if measure in _SHARES else _NUMBER_WIDTH


def heading(columns: Columns, chosen: str, signs: Symbols) -> Content:
    """Return the heading: a click on a measure chooses it, and the chosen one has a sign."""
    parts = [Content.styled(padded("  layer", columns.name + columns.mark + 3), LABEL)]
    for measure in columns.measures:
        title = (signs.here if measure == chosen else "") + MEASURES[measure][0]
        text = Content.styled(title.rjust(width_of(measure) + 1), STRONG if measure == chosen else LABEL)
        parts.append(text.stylize(Style.from_meta({"measure": measure})))
    return Content("").join([*parts, Content.styled(" newest", LABEL)])


@record
class RowLook:
    """The look of one row: its name and the depth of its indent, its fold, and whether a curve of it is pinned."""

    name: str
    depth: int
    fold: str
    is_pinned: bool


def row(look: RowLook, number: int, numbers: LayerNumbers, chosen: str, columns: Columns, signs: Symbols) -> Content:
    """Return the line of node `number`."""
    mark = numbers.marks[number]
    word = _SHORT.get(mark, mark) if columns.mark < len(mark) else mark
    indent = f"{'  ' * look.depth}{look.fold} "
    name = padded(indent + shortened(escape_control(look.name), columns.name - len(indent), signs), columns.name)
    pieces: list[tuple[str, str]] = [
        (signs.on if look.is_pinned else " ", ACTIVE),
        (name, STRONG if mark else ""),
        (f" {signs.alert if mark else ' '}{word.ljust(columns.mark)}", WARN if mark == DEAD else BAD),
    ]
    for measure in columns.measures:
        value = numbers.newest(measure, number)
        style = FAINT if math.isnan(value) else STRONG if measure == chosen else ""
        pieces.append((" " + cell(value, measure), style))
    curve = numbers.by_measure[chosen][-columns.spark :, number]
    pieces.append((f" {_spark(curve, chosen, signs).rjust(columns.spark)}", ACTIVE))
    return Content.assemble(*pieces)


def shortened(path: str, room: int, signs: Symbols) -> str:
    """Return a path in `room` cells: its first names by their initials, which tell layers apart with the numbers.

    If these are too long, return the end.
    """
    names = path.split(".")
    for number, name in enumerate(names[:-1]):
        if len(path) <= room:
            break
        names[number] = name if name.isdigit() else name[:1]
        path = ".".join(names)
    if len(path) <= room or len(names) == 1:
        return path
    return signs.dots + path[len(path) - max(room - len(signs.dots), 0) :]


def cell(value: float, measure: str) -> str:
    """Return a number in its column: a share in percent without a blank, a dash for none."""
    width = width_of(measure)
    if math.isnan(value):
        return "-".rjust(width)
    if measure in _SHARES:
        return percent(value).replace(" ", "").rjust(width)  # names have few cells in a narrow table
    return narrow(value, width).rjust(width)


def percent(share: float) -> str:
    """Return a share in percent, with a decimal where a whole number would hide that it is not 0 or 1."""
    whole = f"{100 * share:.0f} %"
    return f"{100 * share:.1f} %" if whole in ("0 %", "100 %") and 0.0005 <= share < 0.9995 else whole


def _spark(values: np.ndarray[tuple[int], np.dtype[np.float64]], measure: str, signs: Symbols) -> str:
    """Return the newest numbers as a sparkline; norms go by their logarithm."""
    if measure in _SHARES:
        return sparkline(values.tolist(), signs)
    return sparkline([_level(value) for value in values.tolist()], signs)


def _level(value: float) -> float:
    return value if not math.isfinite(value) else math.log10(value) if value > 0 else math.nan


def in_full(node: Node, number: int, numbers: LayerNumbers, num_values: int, pinned: Sequence[str]) -> Content:
    """Return all that is known of a node in one line."""
    sizes = f"  {num_values:,} values" if num_values else ""
    known = [
        f"{name} {percent(value) if measure in _SHARES else narrow(value, 9)}"
        for measure, (_, name) in MEASURES.items()
        if not math.isnan(value := numbers.newest(measure, number))
    ]
    said = [
        *known,
        *([numbers.marks[number]] if numbers.marks[number] else []),
        *(f"pinned: {name}" for name in pinned),
    ]
    return Content.assemble((escape_control(node.path), STRONG), (sizes, LABEL), ("  " + ", ".join(said), LABEL))
