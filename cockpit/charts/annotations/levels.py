"""Reference lines of curves: the total loss at chance, the gradient norm's bound and its clip."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import dropwhile, pairwise

from cockpit.charts.annotations.past import InForce, Past
from cockpit.charts.chart_specs import Spec
from cockpit.charts.columns.window import ColumnWindow
from cockpit.charts.inks import Ink
from cockpit.charts.scene import Level
from cockpit.charts.ticks import compact

Levelled = Callable[[InForce], float | None]


def levels_of(
    spec: Spec, metrics: tuple[str, ...], past: Past, chance: Mapping[str, float], bound: float
) -> tuple[Level, ...]:
    """Return the levels of a chart, each with the steps at which its value changed."""
    if "loss/total" in metrics:
        levels = _level(past, "chance level", Ink.CHANCE, lambda then: then.total_chance(chance))
        return tuple(replace(level, short=f"chance {compact(level.value, 3)}") for level in levels)
    if "grad_norm/total" not in metrics or spec.kind != "lines":
        return ()
    held = (Level(bound, f"bound {compact(bound)}", Ink.BOUND),) if bound < math.inf else ()
    if "clip/threshold" in metrics:
        return held
    clips = _level(past, "clip", Ink.CLIP, lambda then: then.gradient_clip)
    return (*held, *(_without_off(level) for level in clips if level.value < math.inf))


def _without_off(clip: Level) -> Level:
    """Return the level of the clip from the first step on at which there was a bound."""
    return replace(clip, pieces=tuple(dropwhile(lambda piece: piece[1] == math.inf, clip.pieces)))


def placed(level: Level, window: ColumnWindow, width: int) -> Level | None:
    """Return the level with columns of a plot instead of steps, cut to the window.

    Return `None` if the window shows none of it.
    """
    if not level.pieces:
        return level
    ends = [*(step for step, _ in level.pieces[1:]), window.end]
    shown = [
        (max(window.column(step, width), 0), value)
        for (step, value), end in zip(level.pieces, ends, strict=True)
        if end > window.first and step < window.end
    ]
    kept = [piece for piece, after in pairwise([*shown, (width, 0.0)]) if after[0] > piece[0]]
    return replace(level, pieces=tuple(kept)) if kept else None


def _level(past: Past, name: str, ink: Ink, value_of: Levelled) -> tuple[Level, ...]:
    """Return the present level with its earlier values; empty while the present one is unknown."""
    known = [(then.step, value) for then in past if (value := value_of(then)) is not None]
    if not past or (now := value_of(past[-1])) is None:
        return ()
    pieces = [known[0], *(piece for before, piece in pairwise(known) if piece[1] != before[1])]
    return (Level(now, f"{name} {compact(now, 3)}", ink, tuple(pieces) if len(pieces) > 1 or pieces[0][0] else ()),)
