"""Measurements of a run as parts of lines: losses, rates, counts of faults, and the pace."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from textual.content import Content

from cockpit.console.reporting.live_panel import score_label
from cockpit.session.session import Session
from cockpit.text.format import decimal, duration, number, plural, rate
from cockpit.ui.panels.toolkit.line_parts import LinePart, part
from cockpit.ui.panels.toolkit.symbols import BAD, LABEL, STRONG, WAITING, WARN
from engine.protocol.events import Activity
from engine.protocol.state import RunState

_ROOMY_WIDTH: Final = 100
"""From this width on the chance level has its full label."""

_NOTE_WIDTH: Final = 150
"""From this width on the header explains the chance level."""


def measures(session: Session, state: RunState, soon: RunState, width: int, dots: str) -> Iterable[LinePart]:
    """Yield the newest measurements and the counts of faults; `dots` marks a pending value."""
    chance = total_chance(session, state)
    yield part("loss", number(state.loss), value_style(state.loss, chance))
    if chance is not None:
        label = "chance level" if width >= _ROOMY_WIDTH else "chance"
        yield part(label, number(chance), LABEL, rank=2)
    if chance is not None and width >= _NOTE_WIDTH:
        yield part("", "(uniform prediction)", LABEL, rank=6)
    yield part("grad", number(state.grad_norm), value_style(state.grad_norm, None))
    yield _lr(state, soon, dots)
    if state.spec.score:
        score = "-" if state.score is None else decimal(state.score, 3)
        yield part(score_label(state.spec), score, rank=1)
    if session.best is not None:
        yield part("best", decimal(session.best.score, 3), rank=3)
        yield part("at", str(session.best.step), LABEL, rank=5)
    alerts = len(session.incidents)
    counts = (("skipped", state.skipped_steps), ("spikes", state.spikes), ("alerts", alerts))
    yield from (part(word, str(count), BAD, rank=2) for word, count in counts if count)


def _lr(state: RunState, soon: RunState, dots: str) -> LinePart:
    now = rate(state.lr) if state.lr else "-"
    if soon.lr == state.lr:
        return part("lr", now)
    return LinePart(part("lr", f"{now} ").content + waiting("", rate(soon.lr), dots))


def pace(session: Session, state: RunState) -> Iterable[LinePart]:
    """Yield the known parts of the pace: speed, ETA and elapsed time; after the end the duration.

    A run whose process is gone took the time until its last heartbeat.
    """
    end = session.end
    if end is not None or session.abandonment:
        took = session.elapsed if end is None or end.seconds is None else end.seconds
        yield part("took", duration(took), rank=1)
        return
    if session.steps_per_second is not None:
        yield part("", f"{number(session.steps_per_second, 3)} steps/s", STRONG, rank=1)
    if state.samples_per_second and state.activity is not Activity.PAUSED:
        yield part("", f"{number(state.samples_per_second, 3)} {plural(state.spec.sample_noun)}/s", LABEL, rank=3)
    if session.remaining is not None:
        yield part("ETA", duration(session.remaining), rank=1)
    yield part("elapsed", duration(session.elapsed), LABEL, rank=2)


def total_chance(session: Session, state: RunState) -> float | None:
    """Return the weighted sum of the chance levels of the active terms; `None` while one is unknown."""
    terms = state.spec.active_terms(state.refinements)
    if not terms or any(term not in session.chance for term in terms):
        return None
    return math.fsum(state.loss_weights.get(term, 0.0) * session.chance[term] for term in terms)


def value_style(value: float | None, chance: float | None) -> str:
    """Return the style of a measurement: bad if it is not finite, a warning above the chance level."""
    if value is not None and not math.isfinite(value):
        return BAD
    return f"bold {WARN}" if value is not None and chance is not None and value > chance else STRONG


def waiting(before: str, after: str, dots: str) -> Content:
    """Return a value with its pending one: '3.00e-03 -> 1.50e-03 …'."""
    return Content.assemble((before, STRONG), (f"-> {after} {dots}", WAITING))
