"""The cells of a run in the list of runs. All take a row, what else they depend on, and their width."""

from __future__ import annotations

import math
from typing import Final

from textual.content import Content

from cockpit.session.run_list.facts import STOPPED, points_of
from cockpit.session.run_list.listed_run import UNREAD
from cockpit.session.run_list.order import TreeRow
from cockpit.text.format import age, escape_control, number, rate
from cockpit.ui.panels.toolkit.symbols import ACTIVE, BAD, FAINT, GOOD, LABEL, STRONG, WARN, Symbols, sparkline
from engine.protocol.events import Activity
from engine.protocol.record import record

_STATE_STYLES: Final = {
    Activity.RUNNING.value: ACTIVE,
    Activity.VALIDATING.value: ACTIVE,
    Activity.PAUSED.value: WARN,
    Activity.STOPPING.value: WARN,
    Activity.FINISHED.value: GOOD,
    STOPPED: WARN,
    Activity.FAILED.value: BAD,
}


_UNKNOWN: Final = Content.styled("-", FAINT)


@record
class CellContext:
    """What cells depend on besides their run: the characters, the time in seconds since 1970, the marked runs."""

    signs: Symbols
    now: float
    marked: frozenset[str] = frozenset()


def name(row: TreeRow, context: CellContext, width: int) -> Content:
    """Return the mark, the branch and the name of the run."""
    mark = context.signs.on if row.run.name in context.marked else " "
    branch = "" if row.left_at is None else f"{'  ' * (row.depth - 1)}{_corner(context.signs)} "
    left = "" if row.left_at is None else f" @{row.left_at}"
    return Content.assemble(
        (f"{mark} ", ACTIVE), (branch, FAINT), (escape_control(row.run.name), STRONG), (left, LABEL)
    )


def _corner(signs: Symbols) -> str:
    return "`" if signs.dots == "..." else "└"


def state(row: TreeRow, context: CellContext, width: int) -> Content:
    """Return what the run does; a live word of a silent run has a question mark."""
    run = row.run
    if run.state == UNREAD:
        return Content.styled(context.signs.dots, FAINT)
    if run.state not in _STATE_STYLES and run.state != Activity.STARTING:
        return Content.styled(f"{context.signs.failed} {run.state}", BAD)
    activity = Activity.STOPPING if run.state == STOPPED else Activity(run.state)
    is_silent = not run.is_live and run.state not in (Activity.FINISHED.value, Activity.FAILED.value, STOPPED)
    word = f"{context.signs.activities[activity]} {run.state}{'?' if is_silent else ''}"
    return Content.styled(word, _STATE_STYLES.get(run.state, LABEL))


def phase(row: TreeRow, context: CellContext, width: int) -> Content:
    """Return the phase; unknown for a program."""
    facts = row.run.facts
    return _UNKNOWN if facts is None or facts.program else Content(str(facts.phase))


def best(row: TreeRow, context: CellContext, width: int) -> Content:
    """Return the best score."""
    facts = row.run.facts
    return _UNKNOWN if facts is None or facts.best is None else Content(number(facts.best))


def alerts(row: TreeRow, context: CellContext, width: int) -> Content:
    """Return the number of alerts."""
    facts = row.run.facts
    if facts is None or not facts.alerts:
        return _UNKNOWN
    return Content.styled(f"{context.signs.alert} {facts.alerts}", WARN)


def curve(row: TreeRow, context: CellContext, width: int) -> Content:
    """Return the newest losses as a sparkline."""
    facts = row.run.facts
    if facts is None or not facts.curve:
        return _UNKNOWN
    values = [math.nan if value is None else value for value in facts.curve]
    points = [math.nan if point is None else point for point in points_of(values, width)]
    cross = context.signs.failed
    pieces = [(cross, BAD) if mark == " " else (mark, ACTIVE) for mark in sparkline(points, context.signs)]
    return Content.assemble(*pieces)


def started(row: TreeRow, context: CellContext, width: int) -> Content:
    """Return the time since the start."""
    return _ago(row.run.started, context)


def ended(row: TreeRow, context: CellContext, width: int) -> Content:
    """Return the time since the end."""
    return _ago(row.run.ended, context)


def _ago(moment: float, context: CellContext) -> Content:
    return Content.styled(age(context.now - moment), LABEL) if moment else _UNKNOWN


def step(row: TreeRow, context: CellContext, width: int) -> Content:
    """Return the step, of all steps."""
    facts = row.run.facts
    if facts is None:
        return _UNKNOWN
    return Content.assemble(str(facts.step), (f"/{facts.total_steps}" if facts.total_steps else "", LABEL))


def lr(row: TreeRow, context: CellContext, width: int) -> Content:
    """Return the learning rate."""
    facts = row.run.facts
    return _UNKNOWN if facts is None or not facts.lr else Content(rate(facts.lr))


def tags(row: TreeRow, context: CellContext, width: int) -> Content:
    """Return the tags."""
    return Content.styled(escape_control(" ".join(row.run.labels.tags)), ACTIVE)


def task(row: TreeRow, context: CellContext, width: int) -> Content:
    """Return the task or the program."""
    facts = row.run.facts
    return Content.styled("" if facts is None else escape_control(facts.program or facts.task), LABEL)


def note(row: TreeRow, context: CellContext, width: int) -> Content:
    """Return the note."""
    return Content(escape_control(row.run.labels.note))
