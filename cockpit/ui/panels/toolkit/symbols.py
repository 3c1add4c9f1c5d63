"""Characters and styles of text panels: each state has a sign and a word, never a colour alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from engine.protocol.events import Activity
from engine.protocol.record import record

LABEL: Final = "$foreground 62%"
FAINT: Final = "$foreground 38%"
STRONG: Final = "bold"
GOOD: Final = "$text-success"
WARN: Final = "$text-warning"
BAD: Final = "bold $text-error"
ACTIVE: Final = "$text-primary"
WAITING: Final = "italic $text-warning"
"""Style of a pending value, which the engine has not applied yet."""


@record
class Symbols:
    """One character per state; `spark` from low to high; `full` and `empty` make bars."""

    on: str
    off: str
    passed: str
    failed: str
    here: str
    alert: str
    beats: str
    silent: str
    full: str
    empty: str
    spark: str
    dots: str
    activities: dict[Activity, str]


UNICODE: Final = Symbols(
    on="●",
    off="○",
    passed="✓",
    failed="✗",
    here="▶",
    alert="▲",
    beats="♥♡",
    silent="✗",
    full="━",
    empty="─",
    spark="▁▂▃▄▅▆▇█",
    dots="…",
    activities={
        Activity.STARTING: "◌",
        Activity.RUNNING: "▶",
        Activity.PAUSED: "‖",
        Activity.VALIDATING: "◎",
        Activity.STOPPING: "■",
        Activity.FINISHED: "✓",
        Activity.FAILED: "✗",
    },
)

ASCII: Final = Symbols(
    on="*",
    off="o",
    passed="+",
    failed="x",
    here=">",
    alert="!",
    beats="*.",
    silent="x",
    full="#",
    empty="-",
    spark="_.,-~=*#",
    dots="...",
    activities={
        Activity.STARTING: ".",
        Activity.RUNNING: ">",
        Activity.PAUSED: "|",
        Activity.VALIDATING: "v",
        Activity.STOPPING: "#",
        Activity.FINISHED: "+",
        Activity.FAILED: "x",
    },
)


def signs_for(marker: str) -> Symbols:
    """Return the characters of a marker: 'ascii', or any other for Unicode."""
    return ASCII if marker == "ascii" else UNICODE


def bar(share: float, width: int, signs: Symbols) -> tuple[str, str]:
    """Return the full and the empty part of a bar of `width` cells; `share` is clipped to 0..1, NaN is 0."""
    done = 0.0 if math.isnan(share) else min(max(share, 0.0), 1.0)
    full = round(done * max(width, 0))
    return signs.full * full, signs.empty * (max(width, 0) - full)


def sparkline(values: Sequence[float], signs: Symbols) -> str:
    """Return one character per value, scaled from least to greatest; a blank for NaN, '!' for infinity."""
    finite = [value for value in values if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    span = high - low
    top = len(signs.spark) - 1
    return "".join(
        " "
        if math.isnan(value)
        else "!"
        if math.isinf(value)
        else signs.spark[round((value - low) / span * top) if span > 0 else top // 2]
        for value in values
    )
