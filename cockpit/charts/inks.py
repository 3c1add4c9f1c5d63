"""Numbers for the parts of a chart; a theme maps each to a colour."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

NUM_CURVES: Final = 8
NUM_HEATS: Final = 8


class Ink(IntEnum):
    """The kind of a cell. `RAW_n` is the unsmoothed curve behind curve n; `HEAT_n` grows with n.

    `CURSOR` is the cursor's column, as ink and as paper; `ON_CURVE` writes on a curve's colour.
    """

    BLANK = 0
    FRAME = 1
    FRAME_FOCUS = 2
    TITLE = 3
    LABEL = 4
    FAINT = 5
    VALUE = 6
    CHANCE = 7
    BOUND = 8
    ALERT = 9
    INTERVENTION = 10
    PHASE = 11
    CHECKPOINT = 12
    NOTE = 13
    CURSOR = 14
    ON_CURVE = 15
    CLIP = 16
    CURVE_0 = 20
    CURVE_1 = 21
    CURVE_2 = 22
    CURVE_3 = 23
    CURVE_4 = 24
    CURVE_5 = 25
    CURVE_6 = 26
    CURVE_7 = 27
    RAW_0 = 30
    RAW_1 = 31
    RAW_2 = 32
    RAW_3 = 33
    RAW_4 = 34
    RAW_5 = 35
    RAW_6 = 36
    RAW_7 = 37
    HEAT_0 = 40
    HEAT_1 = 41
    HEAT_2 = 42
    HEAT_3 = 43
    HEAT_4 = 44
    HEAT_5 = 45
    HEAT_6 = 46
    HEAT_7 = 47


def curve_ink(slot: int) -> Ink:
    """Return the colour of the curve in `slot`; the ninth curve has the first colour and its own letter."""
    return Ink(Ink.CURVE_0 + slot % NUM_CURVES)


def raw_ink(slot: int) -> Ink:
    """Return the dim colour of the raw values behind the smoothed curve in `slot`."""
    return Ink(Ink.RAW_0 + slot % NUM_CURVES)
